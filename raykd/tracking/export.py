"""Writes a trained student as a plain transformers folder, with a model card."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from raykd.errors import UserError
from raykd.tracking import ledger, store

CARD = """---
library_name: transformers
pipeline_tag: {pipeline}
tags: [knowledge-distillation, raykd]
---
# {strategy}, {init}, seed {seed}

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
| trial, MLflow run | `{trial}`, `{run}` |

Load it with `{auto}.from_pretrained(folder)`.
"""
LOADED = {
    "classification": ("text-classification", "AutoModelForSequenceClassification"),
    "seq2seq": ("text2text-generation", "AutoModelForSeq2SeqLM"),
    "causal_lm": ("text-generation", "AutoModelForCausalLM"),
}
"""The pipeline and the class of transformers, by the kind of task."""
IMITATED = {
    "teacher": "the teacher's",
    "untrained": "an untrained teacher's (a control)",
    "shuffled": "the teacher's of other tokens (a control)",
    "mean": "the teacher's mean (a control)",
}


def export(run: str, folder: Path, tracking_uri: str | None) -> str:
    """Write the student of a run (MLflow run id or trial id) into `folder`; a line about it.

    Raises UserError for a run that is not there or kept no student, and a folder in use.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: exists and is not an empty folder; name a new one")
    client = store.connect(store.resolve(tracking_uri, Path.cwd()))
    found = ledger.open_run(client, run)
    with tempfile.TemporaryDirectory(prefix="raykd-export-") as scratch:
        student = ledger.download(client, found.info.run_id, "student", Path(scratch))
        if student is None:
            raise UserError(
                f"{run}: this run kept no student ({found.info.status.lower()}); write `tracking: "
                "{students: all}` into the sweep file for sweeps to come, or export a run of the "
                "first seed"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(student, folder, dirs_exist_ok=True)
    params, metrics, tags = found.data.params, found.data.metrics, found.data.tags
    metric, (pipeline, auto) = params["metric"], LOADED[params["task"]]
    card = CARD.format(
        **{**params, "precision": tags.get("raykd.precision", params["precision"])},
        pipeline=pipeline,
        auto=auto,
        imitated=IMITATED[params["targets"]],
        rows=f"{params['batch_tokens']} tokens" if "batch_tokens" in params else params["batch"],
        teacher=tags["raykd.teacher_fingerprint"],
        data=tags["raykd.data"],
        trial=tags["raykd.trial"],
        run=found.info.run_id,
        test=f"{metrics[f'test_{metric}']:.2f}",
        select=f"{metrics[f'best_select_{metric}']:.2f}",
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    return (
        f"{params['strategy']} {params['map']}, test {metric} {metrics[f'test_{metric}']:.2f}; "
        f"load it with {auto}.from_pretrained"
    )
