"""Angle measurements as artifacts of their trial's run: one file a step, so that a step told twice
is there once."""

from __future__ import annotations

import json
import re
import tempfile
import time
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric
from pydantic import ValidationError

from raykd.errors import UserError
from raykd.tracking.store import patiently
from raykd.training.angle_values import Measured

FOLDER = "angles"


def store_angles(client: MlflowClient, run_id: str, measured: Measured) -> None:
    with tempfile.TemporaryDirectory(prefix="raykd-angles-") as folder:
        write_angles(measured, Path(folder))
        patiently(lambda: client.log_artifacts(run_id, folder))


def write_angles(measured: Measured, folder: Path) -> None:
    """As the artifact of that step, into a folder of a run's artifacts."""
    (folder / FOLDER).mkdir()
    text = json.dumps(measured.to_json(), separators=(",", ":"))
    (folder / FOLDER / f"step-{measured.step}.json").write_text(text, encoding="utf-8")


def log_metrics(client: MlflowClient, run_id: str, measured: Measured) -> None:
    """For a run that is over: one in training logs its metrics by itself."""
    now = int(time.time() * 1000)
    found = [Metric(k, v, now, measured.step) for k, v in measured.metrics().items()]
    patiently(lambda: client.log_batch(run_id, metrics=found))


def steps(client: MlflowClient, run_id: str) -> tuple[int, ...]:
    """At which optimisation steps a trial was measured, in order."""
    listed = patiently(lambda: client.list_artifacts(run_id, FOLDER))
    found = (re.fullmatch(rf"{FOLDER}/step-(\d+)\.json", a.path) for a in listed)
    return tuple(sorted(int(match[1]) for match in found if match))


def read_angles(client: MlflowClient, run_id: str, step: int) -> Measured:
    """Raises UserError for a file that holds no measurement."""
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
