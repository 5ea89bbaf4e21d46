"""What runs inside a Ray Train worker: a job's cohorts, their checkpoints, their reports."""

from __future__ import annotations

import json
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from ray.util.metrics import Counter, Gauge

from raykd.cluster import checkpoint_store
from raykd.cluster.launch import checkpoints
from raykd.cluster.ray_init import NOTICES
from raykd.config.cohort import Cohort, unpacked
from raykd.runtime.execution import Execution
from raykd.runtime.group import Group
from raykd.teachers.targets import LiveTeacher
from raykd.training.hooks import TeacherTiming
from raykd.training.recorder import Recorder, Silent
from raykd.training.trainer import CohortTrainer

STATE = "state-2.pt"  # counts up when what a learner stores changes


class Stop(Exception):
    """The launch is over: this cohort's checkpoint is stored, and another launch goes on from it.
    Raised on every worker at the same step."""


class TrainHooks:
    """Progress and checkpoints by `ray.train.report`, which every worker calls together."""

    def __init__(
        self, cohort: Cohort, group: Group, recorder: Recorder, config: Mapping[str, Any]
    ) -> None:
        self._cohort = cohort
        self._metrics = Metrics(config["tags"]["raykd.sweep"]) if group.rank == 0 else None
        self._recorder = recorder
        self._group = group
        self._every: float = config["checkpoint_seconds"]
        self._stop: Path = config["stop"]
        self._last = time.monotonic()
        self._saves = True

    def progress(
        self, step: int, examples: int, scores: Mapping[str, float], taught: TeacherTiming
    ) -> None:
        from ray import train

        if self._metrics is not None:
            self._metrics.tick(examples, taught)
        train.report(self._report(step, examples, scores))

    def checkpoint(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        # One worker's clock decides for all: a report is a meeting of every worker.
        due_here = time.monotonic() - self._last >= self._every or _noticed()
        votes = (due_here, self._stop.exists())
        due, stop = cast(tuple[bool, bool], self._group.gather(votes)[0])
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
                line = (
                    f"cohort {self._cohort.id} trains on without a checkpoint: "
                    f"{checkpoint_store.reason(error)}"
                )
                # Once, however often it is tried again.
                train.report({**report, checkpoints.TOLD: line} if self._saves else report)
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
            "examples": examples,
            "scores": json.dumps(dict(scores)),  # of each number Tune keeps averages
        }


def _noticed() -> bool:
    """Whether a worker's node is to be taken away (`raykd.cluster.preemption`). The training goes
    on until it is, from there on with a checkpoint at each evaluation."""
    from ray import train

    if os.environ[NOTICES] == "0":  # asking is a meeting of the workers
        return False
    return train.get_preemption_info() is not None


def train_job(config: dict[str, Any]) -> None:
    """Ray Train's entry, on each worker. `config` is plain values: see `driver` and `run`."""
    try:
        _train_job(config)
    except Exception as error:
        # An exception travels without its traceback, and with its notes.
        error.add_note(traceback.format_exc())
        raise


def _train_job(config: dict[str, Any]) -> None:
    from ray import train
    from ray.train.torch import get_device

    from raykd.tracking.outbox import deliver_sweep
    from raykd.tracking.writer import Writer

    torch.set_num_threads(config["threads"])
    group = Group.current()
    torch.set_float32_matmul_precision("high")  # TF32 where a GPU has it; nothing on a CPU
    where = Execution(
        get_device(), group, micro_batch=config["micro_batch"], compile=config["compile"],
        gradient_checkpointing=config["gradient_checkpointing"],
    )  # fmt: skip
    trainer = CohortTrainer.load(config["sources"], where)
    resume = _resume(train.get_checkpoint())
    if group.rank == 0:  # an earlier attempt at this job may have left results unsent
        deliver_sweep(config["tracking_uri"], config["spool"].parent)
    for cohort in unpacked(config["job"]):
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
            trainer.run(
                cohort,
                recorder,
                hooks=TrainHooks(cohort, group, recorder, config),
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


class Metrics:
    """Of one cohort, told by its first worker at each tick. A worker's gauges go with it; a node's
    counters stay as long as the node."""

    def __init__(self, sweep: str) -> None:
        self._tags = {"sweep": sweep}
        self._rate = Gauge(
            "raykd_examples_per_second", "Student rows a second since the last tick.", ("sweep",)
        )
        self._share = Gauge(
            "raykd_teacher_share", "Of the time since the last tick, what targets took.", ("sweep",)
        )
        self._rows = Counter(
            "raykd_teacher_rows", "Rows by where their targets came from.", ("sweep", "source")
        )
        self._since = (time.monotonic(), TeacherTiming(None, 0.0, 0))

    def tick(self, examples: int, taught: TeacherTiming) -> None:
        """`examples`: student rows since the last tick."""
        (then, before), now = self._since, time.monotonic()
        self._since = (now, taught)
        self._rate.set(examples / (now - then), self._tags)
        self._share.set((taught.seconds - before.seconds) / (now - then), self._tags)
        if taught.source is not None:
            source = LiveTeacher.name if taught.source == LiveTeacher.name else "stored"
            self._rows.inc(taught.rows - before.rows, {**self._tags, "source": source})
