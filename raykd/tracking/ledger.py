"""Reads trials and their state, teachers, and runs by name from MLflow."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run

from raykd.config.cohort import Cohort
from raykd.errors import UserError
from raykd.tracking import bulk
from raykd.tracking.bulk import Row
from raykd.tracking.snapshot import glance, whole
from raykd.tracking.store import patiently, refuse_newer

MOST = 50_000  # the most results that one MLflow request returns
State = Literal["finished", "running", "failed", "pruned", "interrupted"]


@dataclass(frozen=True)
class Record:
    """One trial as MLflow holds it. Times are seconds since the epoch."""

    trial: str
    run_id: str
    status: State
    phase: str
    strategy: str
    map: str
    init: str
    seed: int
    family: str
    cohort: str
    error: str | None
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    start: float
    end: float | None
    device: str | None = None
    """Device of its first worker: `cpu`, `cuda:0`, ..."""
    rules: int = 1
    """Version of the rules that gave it its id (planning/older_rules.py)."""

    @property
    def over(self) -> bool:
        """Whether the trial has ended, in whatever way, and is not to be trained again."""
        return self.status in ("finished", "pruned", "failed")

    @property
    def control(self) -> bool:
        """Whether the trial imitated other hidden states than the teacher's."""
        return self.params.get("targets", "teacher") != "teacher"


def read(client: MlflowClient, experiment: str, home: Path) -> tuple[Record, ...]:
    """Return every trial of an experiment, ordered by start."""
    return _records(whole(client, experiment, home))


def look(client: MlflowClient, experiment: str, home: Path) -> tuple[Record, ...]:
    """Return the same as `read` for display: quick for a large experiment of a server, see
    `glance`."""
    return _records(glance(client, experiment, home))


def _records(rows: Iterable[Row]) -> tuple[Record, ...]:
    """Convert rows to records. A run without params was cut off at its creation and holds nothing
    yet."""
    records = [_record(row) for row in rows if row.params]
    return tuple(sorted(records, key=lambda r: (r.start, r.trial, r.run_id)))


def read_trials(client: MlflowClient, experiment: str, trials: Iterable[str]) -> tuple[Record, ...]:
    """Return the records of a few trials by id, quicker than reading all. Missing trials are left
    out."""
    runs = (find(client, experiment, "raykd.trial", trial) for trial in trials)
    rows = (bulk.row(run) for run in runs if run is not None)
    return tuple(_record(row) for row in rows if row.params)


def read_cohort(client: MlflowClient, experiment: str, cohort: Cohort) -> tuple[Record, ...]:
    """Return the records of a cohort that was trained just now, in one query if no other cohort
    trained a part of it.

    A trial whose run in it has not ended is queried alone, because that run may be a twin: a second
    run that another process created for the trial in the same instant.
    """
    trained = f"tags.`raykd.cohort` = '{cohort.id}'"
    runs = patiently(lambda: list(bulk.pages(client, [experiment], trained)))
    records = [_record(row) for row in map(bulk.row, runs) if row.params]
    over = {r.trial: r for r in records if r.over}
    others = (t.id for t in cohort.trials if t.id not in over)
    return (*over.values(), *read_trials(client, experiment, others))


def _record(row: Row) -> Record:
    tags, params, status = row.tags, row.params, _state(row)
    return Record(
        trial=tags["raykd.trial"],
        run_id=row.run_id,
        status=status,
        phase=params["phase"],
        strategy=params["strategy"],
        map=params["map"],
        init=params["init"],
        seed=int(params["seed"]),
        family=tags.get("raykd.family", ""),  # a person may delete a tag in MLflow's UI
        cohort=tags.get("raykd.cohort", ""),
        error=tags.get("raykd.error"),
        metrics=row.metrics,
        params=params,
        start=row.start / 1000,
        # A resumed run still has the end time of its earlier attempt.
        end=row.end / 1000 if row.end and status != "running" else None,
        device=tags.get("raykd.device"),
        rules=int(tags.get("raykd.rules", 1)),
    )


def _state(row: Row) -> State:
    if row.status == "KILLED":
        return "pruned" if row.tags.get("raykd.end") == "pruned" else "interrupted"
    states: dict[str, State] = {"FINISHED": "finished", "FAILED": "failed"}
    return states.get(row.status, "running")


def find(client: MlflowClient, experiment: str, tag: str, value: str) -> Run | None:
    """Return `oldest`, waiting for a store that is away."""
    return patiently(lambda: oldest(client, experiment, tag, value))


def oldest(client: MlflowClient, experiment: str, tag: str, value: str) -> Run | None:
    """Return the oldest run whose tag has this value; None without any."""
    order = ["start_time ASC", "run_id ASC"]
    runs = client.search_runs(
        [experiment], f"tags.`{tag}` = '{value}'", max_results=1, order_by=order
    )
    return runs[0] if runs else None


def confirm_metric(client: MlflowClient, experiment: str) -> str | None:
    """Return the metric of an experiment's newest confirm run; None without any."""
    runs = client.search_runs([experiment], "params.phase = 'confirm'", max_results=1)
    return runs[0].data.params.get("metric") if runs else None


def log_teacher(
    client: MlflowClient,
    experiment: str,
    fingerprint: str,
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> str:
    """Write the teacher's run if it is missing, or complete one that was cut off. Returns its run
    id."""
    earlier = find(client, experiment, "raykd.teacher", fingerprint)
    if earlier is not None and earlier.info.status == "FINISHED":
        return str(earlier.info.run_id)
    note = "The teacher of this sweep: its scores, and the file's `teacher` block. Not a trial."
    run = earlier or client.create_run(
        experiment,
        run_name="teacher",
        tags={**tags, "raykd.teacher": fingerprint, "mlflow.note.content": note},
    )
    run_id, now = str(run.info.run_id), int(time.time() * 1000)
    new = [Param(name, value) for name, value in params.items() if name not in run.data.params]
    scores = [Metric(name, number, now, 0) for name, number in metrics.items()]
    patiently(lambda: client.log_batch(run_id, metrics=scores, params=new))
    patiently(lambda: client.set_terminated(run_id, "FINISHED"))
    return run_id


def open_run(client: MlflowClient, name: str) -> Run:
    """Return the trial run that matches a run id or a trial id, or the beginning of one. Raises
    UserError where none or several match, and where a newer raykd has written it."""
    if not re.fullmatch(r"[0-9a-f]{4,32}", name):
        raise UserError(f"{name!r} is neither a run id nor a trial id (hexadecimal digits)")
    experiments = {e.experiment_id: e for e in client.search_experiments(max_results=MOST)}
    ids = list(experiments)
    runs = list(bulk.pages(client, ids, f"tags.`raykd.trial` LIKE '{name}%'")) or [
        run
        for run in bulk.pages(client, ids, f"attributes.run_id LIKE '{name}%'")
        if "raykd.trial" in run.data.tags
    ]
    if not runs:
        raise UserError(f"no trial {name!r} in this store; `raykd status SWEEP --json` lists them")
    if len(runs) > 1:
        candidates = [
            f"{r.info.run_id} ({experiments[r.info.experiment_id].name}: {r.info.run_name})"
            for r in runs[:5]
        ]
        raise UserError(f"{name!r} fits {len(runs)} runs; write the run id of one:", *candidates)
    refuse_newer(client, experiments[runs[0].info.experiment_id])
    return runs[0]


def download(client: MlflowClient, run_id: str, artifact: str, into: Path) -> Path | None:
    """Download an artifact into `into` and return its path; None where the run has no such
    artifact."""
    if artifact not in {a.path for a in client.list_artifacts(run_id)}:
        return None
    into.mkdir(parents=True, exist_ok=True)
    return Path(client.download_artifacts(run_id, artifact, str(into)))
