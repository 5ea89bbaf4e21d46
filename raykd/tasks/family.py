"""The interface of a task family: everything that the training loop does not know about a kind of
task.

A loss position is a place at which the model predicts something that has a right answer: one for
each example in classification, one for each target token in tasks that write text. An answer is the
output of a model for one example, on which it is scored: logits of classes, the likelihood of each
choice, or a text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from raykd.data.batches import Batch
from raykd.data.encoded import Encoded
from raykd.data.prepared import Prepared
from raykd.models.outputs import Head, Outputs
from raykd.runtime.execution import Execution

if TYPE_CHECKING:
    from raykd.config.task import Task

    pass
    from raykd.runtime.execution import Execution

Names = tuple[str, ...]
"""Class labels in the order of a model; empty if there are no classes."""


class LoadModel(Protocol):
    def __call__(self, folder: Path, labels: Names, *, trained: bool) -> PreTrainedModel: ...


class Encode(Protocol):
    def __call__(
        self, prepared: Prepared, split: str, tokenizer: PreTrainedTokenizerBase, names: Names,
        task: Task, home: Path,
    ) -> Encoded: ...  # fmt: skip


class Collate(Protocol):
    def __call__(
        self,
        encoded: Encoded,
        rows: np.ndarray,
        pad: int,
        whole: np.ndarray | None = None,
        pad_to: int | None = None,
    ) -> Batch: ...


class Predictions(Protocol):
    def __call__(
        self, ids: np.ndarray, labels: np.ndarray, answers: np.ndarray, names: Names, metric: str
    ) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Family:
    """Pure functions, one set for each kind of task; `registry.FAMILIES` lists all families."""

    auto: Any
    """Auto class of transformers that loads a folder or builds a model from a configuration."""
    load_model: LoadModel
    """The model in a local folder. Raises UserError if it is incomplete."""
    load_tokenizer: Callable[[Path], PreTrainedTokenizerBase]
    names: Callable[[Path, Prepared], Names]
    """Labels of the data in the order of the model in a folder."""
    encode: Encode
    """Rows of a split as arrays: train for training, select and test for evaluation. The rows of
    test have no labels."""
    test_labels: Callable[[Prepared, Names], np.ndarray]
    """Call this only after training has ended."""
    collate: Collate
    """Rows as tensors. `whole` holds the rows of the global batch if they are only a share of it;
    `pad_to` is the smallest padded length."""
    forward: Callable[[PreTrainedModel, Batch], Outputs]
    """Outputs of the model at the batch's P loss positions, in the order of `batch.labels`."""
    head: Callable[[PreTrainedModel], Head | None]
    """Maps `forward`'s x_PC to logits; None if they are logits."""
    output_width: Callable[[PretrainedConfig], int]
    """The C of `forward`'s x_PC."""
    evaluate: Callable[[PreTrainedModel, Encoded, Data, Execution], np.ndarray]
    """Answers of the model to all rows, in row order, on every worker; the rows are divided over
    the workers."""
    score: Callable[[str, np.ndarray, np.ndarray], float]
    """A metric, by name, of the answers to a split and its labels; in percent, larger is better."""
    secondary_metrics: Callable[[str, Names], tuple[str, ...]]
    """Metrics that are reported together with this metric for a finished trial, given the label
    names."""
    baseline: Callable[[str, np.ndarray], float]
    """The best score of any constant answer on these labels."""
    predictions: Predictions
    """Columns with one row for each test example: id, label, predicted, correct, and the family's
    own."""


@dataclass(frozen=True)
class Data:
    """The encoded splits. `test` has no labels; `test_labels` is called after training."""

    family: Family
    train: Encoded
    select: Encoded
    test: Encoded
    test_labels: Callable[[], np.ndarray]
    labels: tuple[str, ...]
    pad: int
    tokenizer: PreTrainedTokenizerBase
    task: Task
    eval_batch: int = 128
    parts: Mapping[str, slice] = field(default_factory=lambda: {"": slice(None)})
    """Rows of each part of test. The metric is that of the first part."""
