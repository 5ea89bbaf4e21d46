"""`raykd logs TRIAL`: parameters, losses and scores by step of one trial, from MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from raykd.tracking import ledger, store
from raykd.training.recorder import note_on_skipped

HEAD = ("strategy", "map", "init", "seed", "phase", "steps", "loss_schedule")
SKIPPED = "skipped_steps"  # a metric of trainings in fp16
TAGS = ("cohort", "device", "precision", "teacher_source", "micro_batch", "commit")


@dataclass(frozen=True)
class Entry:
    """The values that a trial logged at one step, by name."""

    step: int
    time: float
    """Seconds since the epoch of the last value."""
    values: dict[str, float]

    def line(self) -> str:
        when = datetime.fromtimestamp(self.time).strftime("%Y-%m-%d %H:%M:%S")
        values = "  ".join(f"{name} {value:.4g}" for name, value in self.values.items())
        return f"{when}  step {self.step:>6}  {values}"


@dataclass(frozen=True)
class Log:
    """A trial's parameters, its steps, its status, and the reason and traceback if it failed."""

    run_id: str
    status: str
    head: dict[str, str]
    entries: tuple[Entry, ...]
    error: str | None
    traceback: str | None

    def lines(self) -> Iterator[str]:
        yield f"run {self.run_id}: {self.status.lower()}"
        for name, value in self.head.items():
            yield f"  {name:<14} {value}"
        yield from (entry.line() for entry in self.entries)
        skipped = [(e.step, e.values[SKIPPED]) for e in self.entries if SKIPPED in e.values]
        if skipped and (note := note_on_skipped(skipped[-1][1], skipped[-1][0])):
            yield note
        if self.error is not None:
            yield f"failed: {self.error}"
        if self.traceback is not None:
            yield from self.traceback.splitlines()

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "entries": [vars(e) for e in self.entries]}


def read(trial: str, tracking_uri: str | None) -> Log:
    """Return the log of a trial, by its trial id or run id, or the beginning of one.

    Raises UserError where none or several match.
    """
    client = store.connect(store.resolve(tracking_uri, Path.cwd()))
    run = ledger.open_run(client, trial)
    params, tags = run.data.params, run.data.tags
    head = {"trial": tags["raykd.trial"]}
    head |= {name: params[name] for name in HEAD if name in params}
    head |= {name: tags[f"raykd.{name}"] for name in TAGS if f"raykd.{name}" in tags}
    return Log(
        run.info.run_id, run.info.status, head, tuple(_entries(client, run)),
        tags.get("raykd.error"), tags.get("raykd.traceback"),
    )  # fmt: skip


def _entries(client: MlflowClient, run: Run) -> Iterator[Entry]:
    """Iterate over the steps. A value that was logged again after a checkpoint counts as logged
    last."""
    points: dict[int, dict[str, tuple[int, float]]] = {}
    for name in sorted(run.data.metrics):
        for metric in client.get_metric_history(run.info.run_id, name):
            points.setdefault(metric.step, {})[name] = (metric.timestamp, metric.value)
    for step, values in sorted(points.items()):
        last = max(when for when, _ in values.values())
        yield Entry(step, last / 1000, {name: value for name, (_, value) in values.items()})
