"""Writes a trained student as a plain transformers folder, with a model card."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from raykd.errors import UserError
from raykd.tasks.kinds.task_kind import task_kind, task_kinds
from raykd.tracking import ledger, store
from raykd.tracking.pages.card import model_card


def export(run: str, folder: Path, tracking_uri: str | None) -> str:
    """Write the student of a run (MLflow run id or trial id) into `folder`, and return a line about
    it.

    Raises UserError for a run that does not exist or stored no student, and for a folder in use.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: exists and is not an empty folder; name a new one")
    client = store.connect(store.resolve(tracking_uri, Path.cwd()))
    trial_run = ledger.open_run(client, run)
    with tempfile.TemporaryDirectory(prefix="raykd-export-") as scratch:
        student = ledger.download(client, trial_run.info.run_id, "student", Path(scratch))
        if student is None:
            raise UserError(
                f"{run}: this run kept no student ({trial_run.info.status.lower()}); write "
                "`tracking: {students: all}` into the sweep file for sweeps to come, or export a "
                "run of the first seed"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        _copy(student, folder)
        auto, pipeline = _loading(trial_run.data.params["task"], student)
        sweep = _sweep_file(client, trial_run, Path(scratch))
        model_card(trial_run, sweep, student, auto, pipeline).save(folder / "README.md")
    params = trial_run.data.params
    metric = params["metric"]
    return (
        f"{params['strategy']} {params['map']}, test {metric} "
        f"{trial_run.data.metrics[f'test_{metric}']:.2f}; load it with {auto}.from_pretrained"
    )


def _copy(source: Path, target: Path) -> None:
    """Copy a folder with the modes that the umask gives new files. Downloads are private, and
    `shutil.copytree` copies modes."""
    target.mkdir(exist_ok=True)
    for path in source.iterdir():
        if path.is_dir():
            _copy(path, target / path.name)
        else:
            shutil.copyfile(path, target / path.name)


def _loading(task: str, student: Path) -> tuple[str, str | None]:
    """Return the class that loads a student, and its pipeline on the hub. A task of a plug-in that
    is not installed here has no known pipeline; its class is that of the stored configuration."""
    if task in task_kinds():
        kind = task_kind(task)
        return kind.auto, kind.pipeline
    config = json.loads((student / "config.json").read_text(encoding="utf-8"))
    return next(iter(config.get("architectures") or ()), "AutoModel"), None


def _sweep_file(client: MlflowClient, run: Run, scratch: Path) -> dict[str, Any]:
    """Return the sweep file that the run's launch logged; empty if there is none, or if a person
    has deleted the launch for good."""
    try:
        launch = run.data.tags.get("mlflow.parentRunId", "")
        file = ledger.download(client, launch, "sweep.json", scratch)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return {}
    return json.loads(file.read_text(encoding="utf-8")) if file else {}
