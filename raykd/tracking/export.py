"""Writes a trained student as a plain transformers folder, with a model card."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from raykd.data.assets import packages
from raykd.errors import UserError
from raykd.tasks.kinds.task_kind import task_kind, task_kinds
from raykd.tracking import ledger, store

HUB_NAME = r"[\w.-]+/[\w.-]+"
CARD = """---
{metadata}
---
# {name}

A student of {depth} blocks, distilled from a teacher of fingerprint `{teacher}`.

| | |
|---|---|
| layer map (position = student block, value = teacher block) | `{map}` |
| strategy | {strategy} |
| initial weights | {init} |
| hidden states imitated | {imitated} |
| loss | {loss_ce} CE + {loss_kl} KL (temperature {temperature}) + {loss_hidden} {hidden_loss} |
| training | {steps} steps of {rows}, learning rate {lr}, seed {seed}, {precision} |
| test {metric} | {test} |
| best select {metric} | {select} |
| data fingerprint | `{data}` |
| licenses of the teacher's weights and the data | {licenses} |
| trial, MLflow run | `{trial}`, `{run}` |

Load it with `{auto}.from_pretrained(folder)`.
"""
IMITATED = {
    "teacher": "the teacher's",
    "untrained": "an untrained teacher's (a control)",
    "shuffled": "the teacher's of other tokens (a control)",
    "mean": "the teacher's mean (a control)",
}


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
        shutil.copytree(student, folder, dirs_exist_ok=True)
        auto, pipeline = _loading(trial_run.data.params["task"], student)
        sweep = _sweep_file(client, trial_run, Path(scratch))
        _card(trial_run, sweep, auto, pipeline).save(folder / "README.md")
    params = trial_run.data.params
    metric = params["metric"]
    return (
        f"{params['strategy']} {params['map']}, test {metric} "
        f"{trial_run.data.metrics[f'test_{metric}']:.2f}; load it with {auto}.from_pretrained"
    )


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


def _card(run: Run, sweep: dict[str, Any], auto: str, pipeline: str | None) -> ModelCard:
    params, metrics, tags = run.data.params, run.data.metrics, run.data.tags
    metric = params["metric"]
    name = f"{params['strategy']}, {params['init']}, seed {params['seed']}"
    text = CARD.format(
        **{**params, "precision": tags.get("raykd.precision", params["precision"])},
        metadata=_metadata(run, sweep, name, pipeline).to_yaml(),
        name=name,
        auto=auto,
        imitated=IMITATED[params["targets"]],
        rows=f"{params['batch_tokens']} tokens" if "batch_tokens" in params else params["batch"],
        teacher=tags.get("raykd.teacher_fingerprint", "unknown"),
        data=tags.get("raykd.data", "unknown"),
        licenses=_licenses(sweep),
        trial=tags["raykd.trial"],
        run=run.info.run_id,
        test=f"{metrics[f'test_{metric}']:.2f}",
        select=f"{metrics[f'best_select_{metric}']:.2f}",
    )
    return ModelCard(text)


def _licenses(sweep: dict[str, Any]) -> str:
    """Return the licenses of what raykd packages. Those of other models and data it cannot know."""
    model, data = sweep.get("teacher", {}).get("model", ""), sweep.get("task", {}).get("data", "")
    licenses = []
    for kind, name in (("teacher", model), ("data", data)):
        known = packages.license_of(name) if isinstance(name, str) else None
        licenses.append(f"{kind}: {known or 'see its source'}")
    return "; ".join(licenses)


def _metadata(run: Run, sweep: dict[str, Any], name: str, pipeline: str | None) -> ModelCardData:
    """Return the card's metadata without a license, which depends on the teacher's and the
    data's."""
    metric = run.data.params["metric"]
    base = sweep.get("teacher", {}).get("model", "")
    on_hub = re.fullmatch(HUB_NAME, base) and not Path(base).exists()  # else a folder
    data = sweep.get("task", {}).get("data", run.data.tags.get("raykd.data", "unknown"))
    files = [data] if isinstance(data, str) else [file for file in data.values() if file]
    # A file is shown without its folder, which means nothing on other machines.
    local = (Path(file) for file in files)
    named = (p.name if p.suffix or p.is_absolute() else str(p) for p in local)
    dataset = ", ".join(named)
    return ModelCardData(
        library_name="transformers",
        pipeline_tag=pipeline,
        tags=["knowledge-distillation", "raykd"],
        base_model=base if on_hub else None,
        metrics=[metric],
        model_name=name,
        eval_results=None
        if pipeline is None
        else [
            EvalResult(
                task_type=pipeline,
                dataset_type=dataset,
                dataset_name=dataset,
                dataset_split="test",
                metric_type=metric,
                metric_value=round(run.data.metrics[f"test_{metric}"], 4),
            )
        ],
    )
