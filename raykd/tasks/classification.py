"""Sequence classification: loading, forward, scores, predictions."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from raykd.data import batches
from raykd.data.batches import Batch
from raykd.data.encoded import Encoded
from raykd.data.encoded import encode as encode_rows
from raykd.data.prepared import Prepared
from raykd.errors import UserError
from raykd.models.loading import (
    follows_padding,
    load_tokenizer,
    read_model,
    refuse_foreign,
    with_padding,
)
from raykd.models.outputs import Outputs
from raykd.runtime.execution import Execution
from raykd.tasks.evaluation import over_rows
from raykd.tasks.kinds.task_kind import task_kind
from raykd.tasks.known_padding import Padding, known_padding
from raykd.tasks.labels import label_order
from raykd.tasks.task import Data, Names, Task, flat_zeros

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig

ONE_LABEL = "single_label_classification"
"""`problem_type` in transformers: one class per text, so softmax and cross entropy."""


class Classification(Task):
    """Classification of texts or pairs of texts."""

    kind = task_kind("classification")

    def load_model(self, folder: Path, labels: Names, *, trained: bool) -> PreTrainedModel:
        """A classifier over `labels` from a local folder, in fp32.

        If the model is not `trained` yet, a missing head (or pooler) is initialised from the
        current seed of torch. Raises UserError if other weights are missing.
        """
        model, lacking = read_model(
            self.auto,
            folder,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={name: i for i, name in enumerate(labels)},
            problem_type=ONE_LABEL,  # that of the base model may be another, and students copy it
        )
        if follows_padding(model.config):
            model.config.pad_token_id = self.load_tokenizer(folder).pad_token_id
        encoder = f"{model.base_model_prefix}."
        refuse_foreign(
            folder, {n for n in lacking if n.startswith(encoder) and ".pooler." not in n}
        )
        if trained and lacking:
            raise UserError(
                f"teacher.model: {folder} has no trained head for {len(labels)} labels "
                f"({min(lacking)}); write `fine_tune: true`"
            )
        return model

    def load_tokenizer(self, folder: Path) -> PreTrainedTokenizerBase:
        """A tokenizer that pads with the end-of-text token if it has no padding token (GPT-2)."""
        return with_padding(load_tokenizer(folder))

    def names(self, folder: Path, prepared: Prepared) -> Names:
        return label_order(folder, prepared.labels)

    def encode(
        self, prepared: Prepared, split: str, tokenizer: PreTrainedTokenizerBase, names: Names,
        config: TaskConfig, home: Path,
    ) -> Encoded:  # fmt: skip
        """Labels are numbered in the order of `names`: the numbering of a model that was fine-tuned
        elsewhere can differ from that of the data (contradiction first or entailment first)."""
        encoded = encode_rows(prepared, split, tokenizer, config.max_length, home)
        if encoded.labels is None:
            return encoded
        return replace(encoded, labels=_label_numbers(prepared, names)[encoded.labels])

    def test_labels(self, prepared: Prepared, names: Names) -> np.ndarray:
        labels: np.ndarray = _label_numbers(prepared, names)[prepared.test_labels()]
        return labels

    def collate(
        self,
        encoded: Encoded,
        rows: np.ndarray,
        pad: int,
        whole: np.ndarray | None = None,
        pad_to: int | None = None,
    ) -> Batch:
        whole = rows if whole is None else whole
        tokens = int(encoded.lengths[whole].sum())
        return batches.collate(encoded, rows, pad, len(whole), tokens, pad_to)

    def forward(self, model: PreTrainedModel, batch: Batch) -> Outputs:
        """Logits [B, C]; the loss positions are the B examples."""
        with known_padding(Padding.of(batch.inputs["attention_mask"], batch.valid)):
            cache = _without_cache(type(model))  # type: ignore[arg-type]
            return Outputs(model(**batch.inputs, **cache).logits)

    def longest_rows(self, rows: int, length: int, target: int | None) -> Encoded:
        ids = np.zeros(rows, dtype=np.int64)
        return Encoded("", *flat_zeros(rows, length), None, ids, ids)

    def evaluate(
        self, model: PreTrainedModel, encoded: Encoded, data: Data, where: Execution
    ) -> np.ndarray:
        """Logits [rows, classes]."""

        def answer(rows: np.ndarray) -> Tensor:
            batch = self.collate(encoded, rows, data.pad).to(where.device)
            with where.autocast():
                return self.forward(model, batch).logits().float()

        return over_rows(model, encoded.lengths, data.eval_batch, where.group, answer)

    def secondary_metrics(self, metric: str, names: Names) -> tuple[str, ...]:
        """Accuracy and F1 are reported together: F1 of the second of two classes, else macro F1."""
        f1_name = "f1" if len(names) == 2 else "macro_f1"
        built_in = {"accuracy": (f1_name,), "f1": ("accuracy",), "macro_f1": ("accuracy",)}
        return (*built_in.get(metric, ()), *super().secondary_metrics(metric, names))

    def constant_answers(
        self, metric: str, labels: np.ndarray, encoded: Encoded | None = None
    ) -> Iterator[np.ndarray]:
        """The logits of a model that is certain of one class."""
        classes = np.unique(labels)
        for label in classes:
            logits = np.zeros((len(labels), classes.max() + 1))
            logits[:, label] = 1.0
            yield logits

    def class_logits(self, answers: np.ndarray) -> np.ndarray | None:
        return answers if self.kind.classes and answers.ndim == 2 else None

    def chosen(self, answers: np.ndarray, metric: str) -> np.ndarray | None:
        logits = self.class_logits(answers)
        return None if logits is None else logits.argmax(-1)

    def predictions(
        self, ids: np.ndarray, labels: np.ndarray, answers: np.ndarray, names: Names, metric: str
    ) -> dict[str, Any]:
        """Columns with one row for each test example: id, label, predicted, correct, a logit for
        each class."""
        predicted = answers.argmax(-1)
        return {
            "id": [str(i) for i in ids],
            "label": [names[i] for i in labels],
            "predicted": [names[i] for i in predicted],
            "correct": (predicted == labels).tolist(),
            **{f"logit_{name}": answers[:, i].tolist() for i, name in enumerate(names)},
        }


@cache
def _without_cache(model: type[PreTrainedModel]) -> dict[str, bool]:
    """The argument by which a decoder does not store its keys and values for further tokens."""
    taken = "use_cache" in inspect.signature(model.forward).parameters
    return {"use_cache": False} if taken else {}


def _label_numbers(prepared: Prepared, names: Names) -> np.ndarray:
    return np.array([names.index(name) for name in prepared.labels], dtype=np.int64)
