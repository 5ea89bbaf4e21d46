"""What runs inside a Ray Train worker: a job's cohorts, their checkpoints, their reports."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch

from raykd.cluster import checkpoints
from raykd.distill import Where
from raykd.group import Group
from raykd.materials import Materials
from raykd.recorder import Recorder, Silent
from raykd.trial import Cohort, job_from_json

STATE = "state-2.pt"  # counts up when what a learner stores changes


class Stop(Exception):
    """The launch is over: this cohort's checkpoint is stored, and another launch goes on from it.
    Raised on every worker at the same step."""


class TrainHooks:
    """Progress and checkpoints by `ray.train.report`, which every worker calls together."""

    def __init__(
        self, cohort: Cohort, group: Group, recorder: Recorder, every_seconds: float, stop: Path
    ) -> None:
        self._cohort = cohort
        self._recorder = recorder
        self._group = group
        self._every = every_seconds
        self._stop = stop
        self._last = time.monotonic()
        self._saves = True

    def progress(self, step: int, examples: int, scores: Mapping[str, float]) -> None:
        from ray import train

        train.report(self._report(step, examples, scores))

    def checkpoint(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        # One worker's clock decides for all: a report is a meeting of every worker.
        mine = (time.monotonic() - self._last >= self._every, self._stop.exists())
        due, stop = cast(tuple[bool, bool], self._group.gather(mine)[0])
        if not due and not stop:
            return
        self._store(step, state)
        if stop and step < self._cohort.trials[0].training.steps:
            raise Stop

    def _store(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        from ray import train

        if self._group.rank != 0:
            train.report(self._report(step, 0, {}))
            return
        self._recorder.flush()  # what the checkpoint has behind it is not told again
        report = self._report(step, 0, {})
        with tempfile.TemporaryDirectory(prefix="raykd-checkpoint-") as folder:
            torch.save({"cohort": self._cohort.id, **state()}, Path(folder) / STATE)
            try:
                checkpoint = checkpoints.put(Path(folder))
            except OSError as error:  # it is an insurance, so training goes on without it
                reason = f"{type(error).__name__}: {error}"[:300]
                # Once, however often it is tried again.
                train.report({**report, checkpoints.UNSAVED: reason} if self._saves else report)
                self._saves = False
                return
        self._last, self._saves = time.monotonic(), True
        train.report(
            report, checkpoint, checkpoint_upload_mode=train.CheckpointUploadMode.NO_UPLOAD
        )

    def _report(self, step: int, examples: int, scores: Mapping[str, float]) -> dict[str, Any]:
        return {
            "cohort": self._cohort.id,
            "trials": [t.id for t in self._cohort.trials],
            "step": step,
            "examples": examples * len(self._cohort.trials),
            "scores": dict(scores),
        }


def train_job(config: dict[str, Any]) -> None:
    """Ray Train's entry, on each worker. `config` is plain values: see `driver` and `run`."""
    from ray import train
    from ray.train.torch import get_device

    from raykd.tracking.spool import deliver_left
    from raykd.tracking.writer import Writer

    torch.set_num_threads(config["threads"])
    group = Group.current()
    torch.set_float32_matmul_precision("high")  # TF32 where a GPU has it; nothing on a CPU
    where = Where(
        get_device(), group, micro_batch=config["micro_batch"], compile=config["compile"],
        gradient_checkpointing=config["gradient_checkpointing"],
    )  # fmt: skip
    materials = Materials.load(config["sources"], where)
    resume = _resume(train.get_checkpoint())
    if group.rank == 0:  # an earlier attempt at this job may have left results unsent
        deliver_left(config["tracking_uri"], config["spool"])
    for cohort in job_from_json(json.loads(config["job"])):
        if group.gather(config["stop"].exists())[0]:
            return
        recorder: Recorder = Silent()
        if group.rank == 0:
            recorder = Writer(
                config["tracking_uri"], config["experiment"], config["launch"], cohort.id,
                config["tags"], config["spool"],
            )  # fmt: skip
        # A cohort that is finished already, before a worker was lost, opens no trial and is over.
        try:
            materials.run(
                cohort,
                recorder,
                hooks=TrainHooks(
                    cohort, group, recorder, config["checkpoint_seconds"], config["stop"]
                ),
                resume=resume if resume and resume["cohort"] == cohort.id else None,
                keep=_keep(cohort, config["keep"]),
                rungs=config["rungs"] if cohort.trials[0].phase == "explore" else None,
            )
        except Stop:
            return
        recorder.flush()


def _keep(cohort: Cohort, rule: str | int) -> frozenset[str]:
    """Trials whose student is stored: confirmed ones, `all`, `none`, or those of one seed."""
    return frozenset(
        t.id for t in cohort.trials if t.phase == "confirm" and (rule == "all" or rule == t.seed)
    )


def _resume(checkpoint: Any) -> dict[str, Any] | None:
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as folder:
        if not (Path(folder) / STATE).exists():
            return None  # another version of raykd wrote it: the cohort begins anew
        state: dict[str, Any] = torch.load(
            Path(folder) / STATE, map_location="cpu", weights_only=True
        )
    return state
