"""Reads back what MLflow holds: trials and their state, teachers, runs by name."""

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
from raykd.tracking.store import patiently

MOST = 50_000  # results that MLflow hands out at once
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
    """`cpu`, `cuda:0`, ...: where its first worker trained it."""
    rules: int = 1
    """Those that gave it its id (config/older_rules.py)."""

    @property
    def over(self) -> bool:
        """Whether it is not to be trained again, whatever its end."""
        return self.status in ("finished", "pruned", "failed")

    @property
    def control(self) -> bool:
        """Whether its hidden states imitated something else than the teacher's."""
        return self.params.get("targets", "teacher") != "teacher"


def read(client: MlflowClient, experiment: str, home: Path) -> tuple[Record, ...]:
    """Every trial of an experiment, in order of its start."""
    return _records(whole(client, experiment, home))


def look(client: MlflowClient, experiment: str, home: Path) -> tuple[Record, ...]:
    """`read` for showing: a large experiment of a server in a moment, see `glance`."""
    return _records(glance(client, experiment, home))


def _records(rows: Iterable[Row]) -> tuple[Record, ...]:
    """A run without params was cut off in the moment of its creation and holds nothing yet."""
    records = [_record(row) for row in rows if row.params]
    return tuple(sorted(records, key=lambda r: (r.start, r.trial, r.run_id)))


def read_trials(client: MlflowClient, experiment: str, trials: Iterable[str]) -> tuple[Record, ...]:
    """The records of a few trials by their ids, quicker than reading all; those there are."""
    runs = (find(client, experiment, "raykd.trial", trial) for trial in trials)
    rows = (bulk.row(run) for run in runs if run is not None)
    return tuple(_record(row) for row in rows if row.params)


def read_cohort(client: MlflowClient, experiment: str, cohort: Cohort) -> tuple[Record, ...]:
    """`read_trials` of a cohort that was trained just now: in one query, as long as no other cohort
    had a part of it. Who is not over in it is asked for alone, since it may be a twin: a run that
    was created in the instant in which another process created the trial's."""
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
        family=tags["raykd.family"],
        cohort=tags["raykd.cohort"],
        error=tags.get("raykd.error"),
        metrics=row.metrics,
        params=params,
        start=row.start / 1000,
        # A run that was begun again still shows when it ended before.
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
    """`oldest`, waiting for a store that is away."""
    return patiently(lambda: oldest(client, experiment, tag, value))


def oldest(client: MlflowClient, experiment: str, tag: str, value: str) -> Run | None:
    """The oldest run whose tag has this value."""
    order = ["start_time ASC", "run_id ASC"]
    runs = client.search_runs(
        [experiment], f"tags.`{tag}` = '{value}'", max_results=1, order_by=order
    )
    return runs[0] if runs else None


def log_teacher(
    client: MlflowClient,
    experiment: str,
    fingerprint: str,
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> str:
    """The teacher's run, written the first time; one that was cut off is completed."""
    earlier = find(client, experiment, "raykd.teacher", fingerprint)
    if earlier is not None and earlier.info.status == "FINISHED":
        return str(earlier.info.run_id)
    run = earlier or client.create_run(
        experiment, run_name="teacher", tags={**tags, "raykd.teacher": fingerprint}
    )
    run_id, now = str(run.info.run_id), int(time.time() * 1000)
    new = [Param(name, value) for name, value in params.items() if name not in run.data.params]
    scores = [Metric(name, number, now, 0) for name, number in metrics.items()]
    patiently(lambda: client.log_batch(run_id, metrics=scores, params=new))
    patiently(lambda: client.set_terminated(run_id, "FINISHED"))
    return run_id


def open_run(client: MlflowClient, name: str) -> Run:
    """The trial run that a person means by a run id or a trial id, or the beginning of one."""
    if not re.fullmatch(r"[0-9a-f]{4,32}", name):
        raise UserError(f"{name!r} is neither a run id nor a trial id (hexadecimal digits)")
    experiments = {e.experiment_id: e.name for e in client.search_experiments(max_results=MOST)}
    ids = list(experiments)
    runs = list(bulk.pages(client, ids, f"tags.`raykd.trial` LIKE '{name}%'")) or [
        run
        for run in bulk.pages(client, ids, f"attributes.run_id LIKE '{name}%'")
        if "raykd.trial" in run.data.tags
    ]
    if not runs:
        raise UserError(f"no trial {name!r} in this store; `raykd status SWEEP --json` lists them")
    if len(runs) > 1:
        some = [
            f"{r.info.run_id} ({experiments[r.info.experiment_id]}: {r.info.run_name})"
            for r in runs[:5]
        ]
        raise UserError(f"{name!r} fits {len(runs)} runs; write the run id of one:", *some)
    return runs[0]


def download(client: MlflowClient, run_id: str, artifact: str, into: Path) -> Path | None:
    """An artifact's local path under `into`; None where the run has none of that name."""
    if artifact not in {a.path for a in client.list_artifacts(run_id)}:
        return None
    into.mkdir(parents=True, exist_ok=True)
    return Path(client.download_artifacts(run_id, artifact, str(into)))
