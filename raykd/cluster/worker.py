"""What runs inside a Ray Train worker: one cohort, its checkpoints, its reports."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from raykd.distill import Where
from raykd.group import Group
from raykd.materials import run_cohort
from raykd.recorder import Recorder, Result
from raykd.trial import Cohort, TrialSpec

STATE = "state.pt"


class Silent:
    """The recorder of every worker but the first: results are told once."""

    def open(self, trial: TrialSpec, facts: Mapping[str, str]) -> bool:
        return True

    def log(self, trial: TrialSpec, step: int, metrics: Mapping[str, float]) -> None: ...

    def finish(self, trial: TrialSpec, result: Result) -> None: ...

    def fail(self, trial: TrialSpec, reason: str) -> None: ...

    def flush(self) -> None: ...


class TrainHooks:
    """Progress and checkpoints by `ray.train.report`, which every worker calls together."""

    def __init__(self, group: Group, students: int, every_seconds: float) -> None:
        self._group = group
        self._students = students
        self._every = every_seconds
        self._last = time.monotonic()

    def progress(self, step: int, examples: int, scores: Mapping[str, float]) -> None:
        from ray import train

        train.report(
            {"step": step, "examples": examples * self._students, "scores": dict(scores)}
        )

    def checkpoint(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        from ray import train

        # One worker's clock decides for all: a report is a meeting of every worker.
        due = self._group.gather(time.monotonic() - self._last >= self._every)[0]
        if not due:
            return
        self._last = time.monotonic()
        if self._group.rank != 0:
            train.report({"step": step, "examples": 0, "scores": {}})
            return
        with tempfile.TemporaryDirectory(prefix="raykd-checkpoint-") as folder:
            torch.save(state(), Path(folder) / STATE)
            train.report(
                {"step": step, "examples": 0, "scores": {}},
                checkpoint=train.Checkpoint.from_directory(folder),
            )


def train_cohort(config: dict[str, Any]) -> None:
    """Ray Train's entry, on each worker. `config` is plain values: see `cluster.driver`."""
    from ray import train
    from ray.train.torch import get_device

    from raykd.cluster.leftovers import note_placement_group
    from raykd.tracking.writer import Writer

    torch.set_num_threads(config["threads"])
    cohort = Cohort(tuple(TrialSpec.from_json(t) for t in json.loads(config["cohort"])))
    group = Group.current()
    recorder: Recorder = Silent()
    if group.rank == 0:
        note_placement_group(cohort.id)
        recorder = Writer(
            config["tracking_uri"], config["experiment"], config["launch"], cohort.id,
            config["tags"],
        )
    run_cohort(
        cohort,
        config["sources"],
        recorder,
        where=Where(get_device(), group),
        hooks=TrainHooks(group, len(cohort.trials), config["checkpoint_seconds"]),
        resume=_resume(train.get_checkpoint()),
        keep=_keep(cohort, config["keep"]),
    )
    recorder.flush()


def _keep(cohort: Cohort, rule: str | int) -> frozenset[str]:
    """Trials whose student is stored: confirmed ones, `all`, `none`, or those of one seed."""
    return frozenset(
        t.id
        for t in cohort.trials
        if t.phase == "confirm" and (rule == "all" or rule == t.seed)
    )


def _resume(checkpoint: Any) -> dict[str, Any] | None:
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as folder:
        state: dict[str, Any] = torch.load(
            Path(folder) / STATE, map_location="cpu", weights_only=True
        )
    return state
