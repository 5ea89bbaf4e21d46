"""Reads back what MLflow holds: trials and their state, teachers, runs by name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from raykd.errors import UserError

PAGE = 1000
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


def read(client: MlflowClient, experiment: str) -> tuple[Record, ...]:
    """Every trial of an experiment, in order of its start."""
    records = [
        _record(run) for run in _runs(client, [experiment]) if "raykd.trial" in run.data.tags
    ]
    return tuple(sorted(records, key=lambda r: (r.start, r.trial)))


def _runs(client: MlflowClient, experiments: list[str], query: str = "") -> Iterator[Run]:
    token: str | None = None
    while True:
        page = client.search_runs(
            experiments, query, ViewType.ACTIVE_ONLY, max_results=PAGE, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _record(run: Run) -> Record:
    tags, params = run.data.tags, run.data.params
    return Record(
        trial=tags["raykd.trial"],
        run_id=run.info.run_id,
        status=_state(run),
        phase=params["phase"],
        strategy=params["strategy"],
        map=params["map"],
        init=params["init"],
        seed=int(params["seed"]),
        family=tags["raykd.family"],
        cohort=tags["raykd.cohort"],
        error=tags.get("raykd.error"),
        metrics=run.data.metrics,
        params=params,
        start=run.info.start_time / 1000,
        end=run.info.end_time / 1000 if run.info.end_time else None,
    )


def _state(run: Run) -> State:
    if run.info.status == "KILLED":
        return "pruned" if run.data.tags.get("raykd.end") == "pruned" else "interrupted"
    states: dict[str, State] = {"FINISHED": "finished", "FAILED": "failed"}
    return states.get(run.info.status, "running")


def duplicates(records: Iterable[Record]) -> tuple[str, ...]:
    """Trials that are finished more than once: a defect of the store, to be named."""
    counts = Counter(r.trial for r in records if r.status == "finished")
    return tuple(sorted(t for t, n in counts.items() if n > 1))


def find(client: MlflowClient, experiment: str, tag: str, value: str) -> Run | None:
    """The oldest run whose tag has this value."""
    found = client.search_runs(
        [experiment], f"tags.`{tag}` = '{value}'", max_results=1, order_by=["start_time ASC"]
    )
    return found[0] if found else None


def log_teacher(
    client: MlflowClient,
    experiment: str,
    fingerprint: str,
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> str:
    """The teacher's run, written the first time."""
    found = find(client, experiment, "raykd.teacher", fingerprint)
    if found is not None and found.info.status == "FINISHED":
        return str(found.info.run_id)
    run = client.create_run(
        experiment, run_name="teacher", tags={**tags, "raykd.teacher": fingerprint}
    )
    for name, value in params.items():
        client.log_param(run.info.run_id, name, value)
    for name, number in metrics.items():
        client.log_metric(run.info.run_id, name, number)
    client.set_terminated(run.info.run_id, "FINISHED")
    return str(run.info.run_id)


def open_run(client: MlflowClient, name: str) -> Run:
    """The trial run that a person means by a run id or a trial id, or the beginning of one."""
    experiments = [e.experiment_id for e in client.search_experiments()]
    if not re.fullmatch(r"[0-9a-f]{4,32}", name):
        raise UserError(f"{name!r} is neither a run id nor a trial id (hexadecimal digits)")
    by_trial = list(_runs(client, experiments, f"tags.`raykd.trial` LIKE '{name}%'"))
    by_run = [
        r for r in _runs(client, experiments, "tags.`raykd.trial` LIKE '%'")
        if r.info.run_id.startswith(name)
    ] if not by_trial else []  # fmt: skip
    found = {r.info.run_id: r for r in by_trial + by_run}
    if len(found) > 1:
        raise UserError(f"{name!r} fits {len(found)} runs; write more of it")
    if not found:
        raise UserError(f"no trial {name!r} in this store; `raykd status SWEEP --json` lists them")
    return next(iter(found.values()))


def download(client: MlflowClient, run_id: str, artifact: str, into: Path) -> Path | None:
    """An artifact's local path under `into`; None where the run has none of that name."""
    if artifact not in {a.path for a in client.list_artifacts(run_id)}:
        return None
    into.mkdir(parents=True, exist_ok=True)
    return Path(client.download_artifacts(run_id, artifact, str(into)))
