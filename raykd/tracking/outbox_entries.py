"""Entries of the outbox: stored on disk atomically, and safe to send twice.

An entry is a folder: `entry.json`, and `files/` if it has artifacts. It is written next to its
final place and renamed, so that it is complete or absent. Sending it again changes nothing: MLflow
keeps one of two metrics with equal key, value, time and step (times are those of the logging), tags
and artifacts are overwritten by the same content, and only the run's owner ends it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Run, RunTag
from mlflow.exceptions import MlflowException

from raykd.tracking import ledger
from raykd.tracking.pages.inputs import show_student
from raykd.tracking.store import passing

MOST_METRICS = 1000  # MLflow's limit for one call
FILES, WHAT = "files", "entry.json"
STUDENT = "student"
SCORES = ("test_", "best_select_")

Point = tuple[str, float, int, int]
"""A metric's key, value, time (milliseconds since the epoch) and step."""


@dataclass(frozen=True)
class End:
    """The end of a trial. `writer`: the writer that ended it, which must own the trial for this to
    count."""

    experiment: str
    trial: str
    writer: str
    status: str
    time: int


@dataclass(frozen=True)
class Entry:
    run: str
    points: tuple[Point, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    end: End | None = None


def write(folder: Path, number: int, entry: Entry, fill: Callable[[Path], None] | None) -> Path:
    """Add an entry to a folder of entries and return its path; `fill` writes its artifacts."""
    place, draft = folder / f"{number:08d}", folder / f".{number:08d}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        if fill is not None:
            (draft / FILES).mkdir()
            fill(draft / FILES)
        (draft / WHAT).write_text(json.dumps(asdict(entry)), encoding="utf-8")
        draft.rename(place)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return place


def read(place: Path) -> Entry:
    """Read an entry from its folder."""
    content = json.loads((place / WHAT).read_text(encoding="utf-8"))
    points = tuple((k, float(v), int(at), int(step)) for k, v, at, step in content["points"])
    return Entry(
        content["run"], points, content["tags"], End(**content["end"]) if content["end"] else None
    )


def waiting(folder: Path) -> list[Path]:
    """Return the entries of a folder, in the order in which they were written."""
    return sorted(p for p in folder.iterdir() if p.name.isdigit())


def send(client: MlflowClient, place: Path) -> None:
    """Send artifacts first, then metrics, then the status: FINISHED means complete."""
    entry, files = read(place), place / FILES
    end = entry.end
    run = None if end is None else _owned(client, entry.run, end)
    if end is not None and run is None:
        return
    if files.is_dir():
        client.log_artifacts(entry.run, str(files))
    metrics = [Metric(*point) for point in entry.points]
    for i in range(0, len(metrics), MOST_METRICS):
        client.log_batch(entry.run, metrics=metrics[i : i + MOST_METRICS])
    if entry.tags:
        client.log_batch(entry.run, tags=[RunTag(k, v) for k, v in entry.tags.items()])
    if run is not None and (files / STUDENT).is_dir():
        _show_student(client, run, metrics)
    if end is not None and _owned(client, entry.run, end):
        client.set_terminated(entry.run, end.status, end.time)


def _show_student(client: MlflowClient, run: Run, metrics: list[Metric]) -> None:
    """Show a stored student among MLflow's models. No result depends on it: what a server does not
    know or refuses is left out, and a passing fault is raised, so that all is sent again."""
    scores = [m for m in metrics if m.key.startswith(SCORES)]
    try:
        show_student(client, run, scores)
    except MlflowException as error:
        if passing(error):
            raise


def _owned(client: MlflowClient, run_id: str, end: End) -> Run | None:
    """Return the trial's run if the writer may still end it.

    The oldest run is the trial's. A twin, created by two processes in the same instant, is deleted.
    """
    run = ledger.oldest(client, end.experiment, "raykd.trial", end.trial)  # the caller retries
    if run is not None and run.info.run_id != run_id:
        client.delete_run(run_id)
        return None
    if run is None or run.info.status == "FINISHED":
        return None
    return run if run.data.tags["raykd.writer"] == end.writer else None
