"""Sequence classification: loading, forward, scores, predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from raykd.data import batches
from raykd.data.batches import Batch
from raykd.data.encoded import Encoded
from raykd.data.encoded import encode as encode_rows
from raykd.data.prepared import Prepared
from raykd.errors import UserError
from raykd.models.loading import load_tokenizer, read_model, refuse_foreign
from raykd.models.outputs import Outputs
from raykd.tasks.evaluation import over_rows
from raykd.tasks.family import Family, Names
from raykd.tasks.labels import label_order

if TYPE_CHECKING:
    from raykd.config.task import Task
    from raykd.runtime.execution import Execution
    from raykd.tasks.family import Data


def load_model(folder: Path, labels: tuple[str, ...], *, trained: bool) -> PreTrainedModel:
    """A classifier over `labels` from a local folder, in fp32.

    If the model is not `trained` yet, a missing head (or pooler) is initialised from the current
    seed of torch. Raises UserError if other weights are missing.
    """
    model, lacking = read_model(
        AutoModelForSequenceClassification,
        folder,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={name: i for i, name in enumerate(labels)},
    )
    encoder = f"{model.base_model_prefix}."
    refuse_foreign(folder, {n for n in lacking if n.startswith(encoder) and ".pooler." not in n})
    if trained and lacking:
        raise UserError(
            f"teacher.model: {folder} has no trained head for {len(labels)} labels "
            f"({min(lacking)}); write `fine_tune: true`"
        )
    return model


def names(folder: Path, prepared: Prepared) -> Names:
    return label_order(folder, prepared.labels)


def encode(
    prepared: Prepared, split: str, tokenizer: PreTrainedTokenizerBase, names: Names, task: Task,
    home: Path,
) -> Encoded:  # fmt: skip
    """Labels are numbered in the order of `names`: the numbering of a model that was fine-tuned
    elsewhere can differ from that of the data (contradiction first or entailment first)."""
    encoded = encode_rows(prepared, split, tokenizer, task.max_length, home)
    if encoded.labels is None:
        return encoded
    return replace(encoded, labels=_label_numbers(prepared, names)[encoded.labels])


def test_labels(prepared: Prepared, names: Names) -> np.ndarray:
    labels: np.ndarray = _label_numbers(prepared, names)[prepared.test_labels()]
    return labels


def _label_numbers(prepared: Prepared, names: Names) -> np.ndarray:
    return np.array([names.index(name) for name in prepared.labels], dtype=np.int64)


def collate(
    encoded: Encoded,
    rows: np.ndarray,
    pad: int,
    whole: np.ndarray | None = None,
    pad_to: int | None = None,
) -> Batch:
    whole = rows if whole is None else whole
    tokens = int(encoded.lengths[whole].sum())
    return batches.collate(encoded, rows, pad, len(whole), tokens, pad_to)


def forward(model: PreTrainedModel, batch: Batch) -> Outputs:
    """Logits [B, C]; the loss positions are the B examples."""
    return Outputs(model(**batch.inputs).logits)


def evaluate(model: PreTrainedModel, encoded: Encoded, data: Data, where: Execution) -> np.ndarray:
    """Logits [rows, classes]."""

    def answer(rows: np.ndarray) -> np.ndarray:
        batch = collate(encoded, rows, data.pad).to(where.device)
        with where.autocast():
            logits: np.ndarray = forward(model, batch).logits().float().cpu().numpy()
        return logits

    return over_rows(model, encoded.lengths, data.eval_batch, where.group, answer)


def score(metric: str, answers: np.ndarray, labels: np.ndarray) -> float:
    return of_classes(metric, answers.argmax(-1), labels)


def baseline(metric: str, labels: np.ndarray) -> float:
    return max(
        of_classes(metric, np.full_like(labels, label), labels) for label in np.unique(labels)
    )


def of_classes(metric: str, predicted: np.ndarray, labels: np.ndarray) -> float:
    """A metric in percent. `f1` is that of the second of two classes; `matthews` is in
    -100..100."""
    from sklearn import metrics

    if metric == "accuracy":
        return float(np.mean(predicted == labels) * 100)
    if metric == "f1":
        return float(metrics.f1_score(labels == 1, predicted == 1, zero_division=0.0) * 100)
    if metric == "macro_f1":
        f1 = metrics.f1_score(labels, predicted, average="macro", zero_division=0.0)
        return float(f1 * 100)
    if metric == "matthews":
        if len(np.union1d(labels, predicted)) == 1:  # undefined correlation, of which sklearn warns
            return 0.0
        return float(metrics.matthews_corrcoef(labels, predicted) * 100)
    raise ValueError(f"unknown metric {metric!r}")


def secondary_metrics(metric: str, names: Names) -> tuple[str, ...]:
    """Accuracy and F1 are reported together: F1 of the second of two classes, else macro F1."""
    f1_name = "f1" if len(names) == 2 else "macro_f1"
    return {"accuracy": (f1_name,), "f1": ("accuracy",), "macro_f1": ("accuracy",)}.get(metric, ())


def predictions(
    ids: np.ndarray, labels: np.ndarray, answers: np.ndarray, names: Names, metric: str
) -> dict[str, Any]:
    """Columns with one row for each test example: id, label, predicted, correct, a logit for each
    class."""
    predicted = answers.argmax(-1)
    return {
        "id": [str(i) for i in ids],
        "label": [names[i] for i in labels],
        "predicted": [names[i] for i in predicted],
        "correct": (predicted == labels).tolist(),
        **{f"logit_{name}": answers[:, i].tolist() for i, name in enumerate(names)},
    }


FAMILY = Family(
    auto=AutoModelForSequenceClassification,
    load_model=load_model,
    load_tokenizer=load_tokenizer,
    names=names,
    encode=encode,
    test_labels=test_labels,
    collate=collate,
    forward=forward,
    head=lambda model: None,
    output_width=lambda config: int(config.num_labels),
    evaluate=evaluate,
    score=score,
    secondary_metrics=secondary_metrics,
    baseline=baseline,
    predictions=predictions,
)
