"""Trains a sweep's teacher on a node of the joined cluster, because the head may lack the GPU or
the memory."""

from __future__ import annotations

from typing import Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raykd.cluster.ray_init import one_line
from raykd.errors import UserError
from raykd.planning.study import Study
from raykd.runtime.plugins import install_plugins
from raykd.runtime.scratch import temporary_files
from raykd.sweep.fine_tune import fine_tune
from raykd.sweep.resources import Share
from raykd.teachers import teacher
from raykd.training.hooks import Hooks, NoHooks, TeacherTiming

POLL_SECONDS = 1.0
Tick = tuple[int, dict[str, float]]


class Board:
    """Actor that holds the progress of a training. It runs on the launch's node, so that a lost
    node does not remove it."""

    def __init__(self) -> None:
        self._tick: Tick = (0, {})

    def tell(self, tick: Tick) -> None:
        self._tick = tick

    def tick(self) -> Tick:
        return self._tick


class BoardHooks(NoHooks):
    """Hooks of a training that send its progress to the board."""

    def __init__(self, board: Any) -> None:
        self._board = board

    def progress(self, step: int, examples: int, scores: Any, taught: TeacherTiming) -> None:
        self._board.tell.remote((step, dict(scores)))


def make(study: Study, threads: int, board: Any) -> teacher.Stored:
    """Train the teacher in this process, reporting to the board. Raises UserError as `fine_tune`
    does, and where the base model's folder is not visible."""
    if not study.base.folder.is_dir():
        raise UserError(
            f"{study.file}: teacher.model: the node that makes the teacher does not see "
            f"{study.base.folder}; name a folder that all nodes share"
        )
    with temporary_files():
        install_plugins(study.plugins)
        torch.set_num_threads(threads)
        return fine_tune(study, hooks=BoardHooks(board))


def on_a_node(study: Study, share: Share, hooks: Hooks | None) -> teacher.Stored:
    """Return the teacher, trained on a node of the joined cluster with the resources of one job's
    worker.

    The task waits for such a node. If a node is lost, the training starts again on another one, up
    to `cluster.retries` times.

    Raises UserError as `fine_tune` does, and where every attempt was lost.
    """
    retries, hooks = study.config.cluster.retries, hooks or NoHooks()
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    board = ray.remote(Board).options(num_cpus=0, scheduling_strategy=here).remote()
    task = ray.remote(make).options(
        num_cpus=share.cpus, num_gpus=1 if share.gpus else 0, max_retries=retries
    )
    result = task.remote(study, share.cpus, board)
    try:
        while not ray.wait([result], timeout=POLL_SECONDS)[0]:
            step, scores = ray.get(board.tick.remote())
            hooks.progress(step, 0, scores, TeacherTiming(None, 0.0, 0))
        stored: teacher.Stored = ray.get(result)
    except RayTaskError as error:
        raise error.cause from None
    except RayError as error:
        raise UserError(
            f"{study.file}: teacher: the node that made it was lost {retries + 1} times "
            f"({one_line(error)}); see that a worker has the memory for it, and run this again"
        ) from error
    return stored
