"""The model card of an exported student."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from mlflow.entities import Run

from raykd.data.assets import packages

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
| loss | {loss} |
| training | {steps} steps of {rows}, learning rate {lr}, seed {seed}, {precision} |{more}
| test {metric} | {test} |
| best select {metric} | {select} |
| data fingerprint | `{data}` |
| licenses of the teacher's weights and the data | {licenses} |
| trial, MLflow run | `{trial}`, `{run}` |

Load it with `{auto}.from_pretrained(folder)`.{truncation}
"""
LOSS = "{loss_ce} CE + {loss_kl} KL (temperature {temperature}) + {loss_hidden} {hidden_loss}"
TRUNCATION = """ Texts were cut at {tokens} tokens
in training and for these scores. The tokenizer states this as `model_max_length`. `transformers`
cuts texts only if asked to: `pipeline("{pipeline}", folder, truncation=True)`."""
IMITATED = {
    "teacher": "the teacher's",
    "untrained": "an untrained teacher's (a control)",
    "shuffled": "the teacher's of other tokens (a control)",
    "mean": "the teacher's mean (a control)",
}


def model_card(
    run: Run, sweep: dict[str, Any], student: Path, auto: str, pipeline: str | None
) -> ModelCard:
    """Return the card of the student in a folder. `sweep`: its sweep file, empty if unknown."""
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
        loss=LOSS.format(**params) + _weighted(params) + _scheduled(params),
        more="".join(f"\n{row}" for row in _more(sweep, student, pipeline)),
        truncation=_truncation(sweep, pipeline),
        trial=tags["raykd.trial"],
        run=run.info.run_id,
        test=f"{metrics[f'test_{metric}']:.2f}",
        select=f"{metrics[f'best_select_{metric}']:.2f}",
    )
    return ModelCard(text)


def _more(sweep: dict[str, Any], student: Path, pipeline: str | None) -> Iterator[str]:
    """Yield rows of the table: the base model, the labels in the order of the logits, and the
    languages, as far as they are known."""
    if base := sweep.get("teacher", {}).get("model"):
        # A folder is shown without its path, which means nothing on other machines.
        yield f"| base model of the teacher | {base if _on_hub(base) else Path(base).name} |"
    names = json.loads((student / "config.json").read_text(encoding="utf-8")).get("id2label", {})
    if names and pipeline == "text-classification":
        ordered = (str(names[i]) for i in sorted(names, key=int))
        yield "| labels | " + ", ".join(ordered).replace("|", "\\|") + " |"
    if languages := _languages(sweep):
        yield f"| language | {', '.join(languages)} |"


def _weighted(params: Mapping[str, str]) -> str:
    weights = params.get("class_weights")
    return "" if weights is None else f"; classes weigh {weights} in CE".replace("|", "\\|")


def _scheduled(params: Mapping[str, str]) -> str:
    stages = params.get("loss_schedule")
    return "" if stages is None else f"; weights by share of the training: {stages}"


def _truncation(sweep: dict[str, Any], pipeline: str | None) -> str:
    """Return how texts were cut, for a pipeline that does not cut them unless asked."""
    tokens = sweep.get("task", {}).get("max_length")
    if tokens is None or pipeline != "text-classification":
        return ""
    return TRUNCATION.format(tokens=tokens, pipeline=pipeline)


def _languages(sweep: dict[str, Any]) -> list[str]:
    """Return the languages of the data that are known: of packaged data, and those that the file
    states for mBART (`en_XX`)."""
    task = sweep.get("task", {})
    data = task.get("data")
    known = packages.languages_of(data) if isinstance(data, str) else ()
    return list(known or (code.split("_")[0] for code in task.get("languages") or ()))


def _on_hub(model: str) -> bool:
    """Return whether a model has a hub name; other names are of folders and packaged models."""
    return re.fullmatch(HUB_NAME, model) is not None and not Path(model).exists()


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
        base_model=base if _on_hub(base) else None,
        language=_languages(sweep) or None,
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
