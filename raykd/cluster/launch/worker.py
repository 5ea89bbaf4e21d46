"""Entry of a Ray Train worker: trains a job's cohorts, stores checkpoints, sends reports."""

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
from raykd.cluster.checkpoint_clock import CheckpointClock, Decision
from raykd.cluster.launch import checkpoints
from raykd.cluster.launch.settings import Keep, LaunchSettings
from raykd.cluster.ray_init import NOTICES
from raykd.config.cohort import Cohort, Job, unpacked
from raykd.runtime.execution import Execution
from raykd.runtime.group import Group
from raykd.runtime.precision import tf32
from raykd.runtime.scratch import temporary_files
from raykd.teachers.targets import LiveTeacher
from raykd.training.hooks import TeacherTiming
from raykd.training.recorder import Recorder, Silent
from raykd.training.trainer import CohortTrainer

STATE = "state-3.pt"  # the number increases when the content of a state changes
READABLE = (STATE, "state-2.pt")  # of raykd 0.1.0


class Stop(Exception):
    """Ends a cohort at the launch's stop: its checkpoint is stored, and another launch resumes from
    it. Raised on every worker at the same step."""


class TrainHooks:
    """Reports progress and checkpoints with `ray.train.report`, which all workers call together."""

    def __init__(
        self, cohort: Cohort, group: Group, recorder: Recorder, settings: LaunchSettings
    ) -> None:
        self._cohort = cohort
        self._metrics = Metrics(settings.tags["raykd.sweep"]) if group.rank == 0 else None
        self._recorder = recorder
        self._group = group
        self._stop: Path = settings.stop
        self._clock = CheckpointClock(
            settings.checkpoint_seconds, settings.spacing,
            settings.checkpoint_bytes * len(cohort.trials),
        )  # fmt: skip
        self._saves = True

    def progress(
        self, step: int, examples: int, scores: Mapping[str, float], taught: TeacherTiming
    ) -> None:
        """Report a step, with `examples` student rows since the last report."""
        from ray import train

        if self._metrics is not None:
            self._metrics.tick(examples, taught)
        train.report(self._report(step, examples, scores))

    def checkpoint(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        """Store a checkpoint if it is due, or if the launch stops. Raises Stop in that case, unless
        the cohort is complete."""
        here = self._clock.decide(step, _noticed(), self._stop.exists())
        # The first worker's clock decides, because all workers must report together.
        decision = cast(Decision, self._group.gather(here)[0])
        self._clock.follow(decision)
        if not decision.due and not decision.stop:
            return
        self._store(step, state)
        if decision.stop and step < self._cohort.trials[0].training.steps:
            raise Stop

    def asks_at(self, step: int) -> bool:
        return self._clock.asks_at(step)

    def _store(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        from ray import train

        if self._group.rank != 0:
            train.report(self._report(step, 0, {}))
            return
        began = time.monotonic()
        self._recorder.flush()  # a resumed training does not log earlier steps again
        report = self._report(step, 0, {})
        with tempfile.TemporaryDirectory(prefix="raykd-checkpoint-") as folder:
            file = Path(folder) / STATE
            torch.save({"cohort": self._cohort.id, **state()}, file)
            size = file.stat().st_size
            try:
                checkpoint = checkpoints.put(Path(folder))
            except OSError as error:  # a checkpoint is optional, so training continues without it
                line = (
                    f"cohort {self._cohort.id} trains on without a checkpoint: "
                    f"{checkpoint_store.reason(error)}"
                )
                # Warn once, not at every further attempt.
                train.report({**report, checkpoints.STORAGE_NOTE: line} if self._saves else report)
                self._saves = False
                self._clock.failed(step)
                return
        self._saves = True
        self._clock.stored(step, time.monotonic() - began, size)
        train.report(
            report, checkpoint, checkpoint_upload_mode=train.CheckpointUploadMode.NO_UPLOAD
        )

    def _report(self, step: int, examples: int, scores: Mapping[str, float]) -> dict[str, Any]:
        return {
            "cohort": self._cohort.id,
            "trials": [t.id for t in self._cohort.trials],
            "step": step,
            "examples": examples,
            "scores": json.dumps(dict(scores)),  # Tune keeps averages of every number
        }


def _noticed() -> bool:
    """Return whether a worker's node is to be preempted (`raykd.cluster.preemption`). The training
    continues until then, with more checkpoints."""
    from ray import train

    if os.environ[NOTICES] == "0":  # the query synchronises all workers
        return False
    return train.get_preemption_info() is not None


def train_job(config: dict[str, Any]) -> None:
    """Ray Train's entry on each worker. `config` holds the `job`, packed, and the `settings`."""
    with temporary_files():
        try:
            _train(unpacked(config["job"]), config["settings"])
        except Exception as error:
            # Pickling an exception drops its traceback but keeps its notes.
            error.add_note(traceback.format_exc())
            raise


@tf32()
def _train(job: Job, settings: LaunchSettings) -> None:
    from ray import train
    from ray.train.torch import get_device

    from raykd.tracking.outbox import deliver_sweep
    from raykd.tracking.writer import Writer

    torch.set_num_threads(settings.share.cpus)
    group = Group.current()
    where = Execution.of(settings.execution, get_device(), group)
    trainer = CohortTrainer.load(settings.inputs, where)
    resume = _resume(train.get_checkpoint())
    if group.rank == 0:  # results of an earlier attempt at this job may not be sent yet
        deliver_sweep(settings.tracking_uri, settings.spool.parent)
    for cohort in job:
        if group.gather(settings.stop.exists())[0]:
            return
        recorder: Recorder = Silent()
        if group.rank == 0:
            recorder = Writer(
                settings.tracking_uri, settings.experiment, settings.launch, cohort.id,
                settings.tags, settings.spool, settings.data,
            )  # fmt: skip
        # A cohort that an earlier attempt finished opens no trial and returns at once.
        try:
            trainer.run(
                cohort,
                recorder,
                hooks=TrainHooks(cohort, group, recorder, settings),
                resume=resume if resume and resume["cohort"] == cohort.id else None,
                keep=_keep(cohort, settings.keep),
                rungs=settings.rungs if cohort.trials[0].phase == "explore" else None,
            )
        except Stop:
            return
        recorder.flush()


def _keep(cohort: Cohort, rule: Keep) -> frozenset[str]:
    """Return the ids of the confirmed trials whose student is stored, by the rule `all`, `none` or
    a seed."""
    return frozenset(
        t.id for t in cohort.trials if t.phase == "confirm" and (rule == "all" or rule == t.seed)
    )


def _resume(checkpoint: Any) -> dict[str, Any] | None:
    """Return the state of a checkpoint; None without one, or if another version of raykd wrote
    it."""
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as folder:
        file = next((f for name in READABLE if (f := Path(folder) / name).exists()), None)
        if file is None:
            return None  # written by another version of raykd: the cohort starts again
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return state


class Metrics:
    """Ray metrics of one cohort, updated by its first worker at each tick. A worker's gauges end
    with it; a node's counters stay as long as the node."""

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
        """Update the metrics. `examples`: student rows since the last tick."""
        (then, before), now = self._since, time.monotonic()
        self._since = (now, taught)
        self._rate.set(examples / (now - then), self._tags)
        self._share.set((taught.seconds - before.seconds) / (now - then), self._tags)
        if taught.source is not None:
            source = LiveTeacher.name if taught.source == LiveTeacher.name else "stored"
            self._rows.inc(taught.rows - before.rows, {**self._tags, "source": source})
