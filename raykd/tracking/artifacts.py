"""Artifacts and metric histories of trials, read back: correctness of test examples, losses and
scores by step, and measured angles."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.entities import Metric
from pydantic import ValidationError

from raykd.config.design import Strategy
from raykd.errors import UserError
from raykd.tracking.ledger import Record, download
from raykd.tracking.store import patiently
from raykd.training.angles.values import Measured

READ_THREADS = 8  # hides a server's latency of about ten milliseconds; a local store needs one
Curve = tuple[tuple[int, float], ...]
"""(step, value), by step."""

FOLDER = "angles"

PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class StatedSeeds:
    """What the sweep file of a launch states: the confirm seeds, whether they may be extended, the
    interim analyses, the names of the strategies but controls (None if they cannot be read), and
    the claims. `start`: seconds since the epoch. `complete`: whether the launch ended by itself."""

    seeds: tuple[int, ...]
    extend: bool
    start: float
    complete: bool
    looks: tuple[int, ...] = ()
    strategies: tuple[str, ...] | None = None
    claims: tuple[Mapping[str, Any], ...] = ()


def stated_seeds(client: MlflowClient, experiment: str) -> tuple[StatedSeeds, ...]:
    """Return what each launch of a sweep stated, the oldest first. Launches whose file is gone are
    left out."""
    query, order = "tags.`raykd.launch` = 'true'", ["start_time ASC", "run_id ASC"]
    runs = patiently(lambda: client.search_runs([experiment], query, order_by=order))
    result = []
    with tempfile.TemporaryDirectory(prefix="raykd-launches-") as folder:
        for run in runs:
            file = download(client, run.info.run_id, "sweep.json", Path(folder) / run.info.run_id)
            stated = json.loads(file.read_text(encoding="utf-8")) if file else {}
            if not (confirm := stated.get("confirm")):
                continue
            seeds = confirm["seeds"]
            result.append(
                StatedSeeds(
                    tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds),
                    confirm.get("extend", False),
                    run.info.start_time / 1000,
                    run.info.status in ("FINISHED", "FAILED"),
                    tuple(confirm.get("looks") or ()),
                    _labels(confirm.get("strategies")),
                    tuple(stated.get("claims", ())),
                )
            )
    return tuple(result)


def _labels(stated: Any) -> tuple[str, ...] | None:
    """Return the names of a file's strategies but controls; None if another version wrote them in a
    way that is not read any more."""
    try:
        strategies = [Strategy.model_validate(strategy) for strategy in stated]
    except (TypeError, ValidationError):
        return None
    return tuple(s.label for s in strategies if not s.control)


def correct(client: MlflowClient, records: Iterable[Record]) -> dict[str, tuple[Any, Any]]:
    """Return the ids and correctness of each trial's test examples, by trial id.

    Both arrays are ordered by the ids, so that trials of one split are aligned. Examples with a
    score of their own (texts) have that score, as a share of 1, instead of correctness. If test has
    parts, only the first counts, which the metric is computed on. Trials without the artifact are
    left out.
    """
    by_trial = {}
    with tempfile.TemporaryDirectory(prefix="raykd-predictions-") as folder:
        for record in records:
            download_folder = Path(folder) / record.run_id
            download_folder.mkdir(exist_ok=True)
            file = download(client, record.run_id, PREDICTIONS, download_folder)
            if file is None:
                continue
            names = pq.read_schema(file).names
            scored, parted = "score" in names, ["part"] if "part" in names else []
            table = pq.read_table(file, columns=["id", "score" if scored else "correct", *parted])
            if parted:
                parts = table["part"].to_pylist()
                table = table.filter([part == parts[0] for part in parts])
            ids = np.asarray(table["id"].to_pylist())
            values = table["score" if scored else "correct"].to_pylist()
            right = np.asarray(values, dtype=float) if scored else np.asarray(values, dtype=bool)
            order = np.argsort(ids, kind="stable")
            by_trial[record.trial] = (ids[order], right[order])
            file.unlink()
    return by_trial


def store_angles(client: MlflowClient, run_id: str, measured: Measured) -> None:
    """Upload measured angles as an artifact of a run."""
    with tempfile.TemporaryDirectory(prefix="raykd-angles-") as folder:
        write_angles(measured, Path(folder))
        patiently(lambda: client.log_artifacts(run_id, folder))


def write_angles(measured: Measured, folder: Path) -> None:
    """Write measured angles into a folder of a run's artifacts, in a file named by the step."""
    (folder / FOLDER).mkdir()
    text = json.dumps(measured.to_json(), separators=(",", ":"))
    (folder / FOLDER / f"step-{measured.step}.json").write_text(text, encoding="utf-8")


def log_metrics(client: MlflowClient, run_id: str, measured: Measured) -> None:
    """Log the metrics of measured angles to a run that has ended. A trial in training logs them
    itself."""
    now = int(time.time() * 1000)
    points = [Metric(k, v, now, measured.step) for k, v in measured.metrics().items()]
    patiently(lambda: client.log_batch(run_id, metrics=points))


def steps(client: MlflowClient, run_id: str) -> tuple[int, ...]:
    """Return the optimisation steps at which a trial was measured, in order."""
    listed = patiently(lambda: client.list_artifacts(run_id, FOLDER))
    matches = (re.fullmatch(rf"{FOLDER}/step-(\d+)\.json", a.path) for a in listed)
    return tuple(sorted(int(match[1]) for match in matches if match))


def read_angles(client: MlflowClient, run_id: str, step: int) -> Measured:
    """Read the angles measured at a step. Raises UserError for a file that holds no measurement."""
    file = f"{FOLDER}/step-{step}.json"
    with tempfile.TemporaryDirectory(prefix="raykd-angles-") as folder:
        path = patiently(lambda: client.download_artifacts(run_id, file, folder))
        try:
            return Measured.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except (ValueError, ValidationError):
            raise UserError(
                f"{file} of run {run_id} holds no measurement of angles; delete it, or the run, "
                "in MLflow's UI"
            ) from None


def curves(client: MlflowClient, runs: Iterable[str], metric: str) -> dict[str, Curve]:
    """Return a metric's curve for each run id. A step that a resumed trial logged again counts
    once, with its last value."""
    ids = list(runs)
    with ThreadPoolExecutor(READ_THREADS) as pool:
        return dict(zip(ids, pool.map(lambda run: _curve(client, run, metric), ids), strict=True))


def _curve(client: MlflowClient, run: str, metric: str) -> Curve:
    logged = patiently(lambda: client.get_metric_history(run, metric))
    by_step = {m.step: m.value for m in sorted(logged, key=lambda m: m.timestamp)}
    return tuple(sorted(by_step.items()))
