"""What a task family is: all that the training loop does not know of a kind of task.

A loss position is a place where a model says something that has a right answer: one an example in
classification, one a token of the target where text is written. An answer is what a model makes of
one example, by which it is scored: logits of classes, the likelihood of each choice, a text.
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
"""Class labels in the order of a model; empty where there are no classes."""


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
    """Pure functions, one set for each kind of task; `registry.FAMILIES` names them all."""

    auto: Any
    """The auto class of transformers: loads a folder, builds from a configuration."""
    load_model: LoadModel
    """The model in a local folder. Raises UserError where it is not whole."""
    load_tokenizer: Callable[[Path], PreTrainedTokenizerBase]
    names: Callable[[Path, Prepared], Names]
    """The data's labels in the order of the model in a folder."""
    encode: Encode
    """A split's rows as arrays: train to learn from, select and test to be answered. The rows of
    test carry no labels."""
    test_labels: Callable[[Prepared, Names], np.ndarray]
    """To be called when training has ended."""
    collate: Collate
    """Rows as tensors. `whole` is the global batch that they are a share of, where there is more
    of it; `pad_to` a length to pad to at least."""
    forward: Callable[[PreTrainedModel, Batch], Outputs]
    """What the model says at the batch's P loss positions, in the order of `batch.labels`."""
    head: Callable[[PreTrainedModel], Head | None]
    """What makes logits of `forward`'s x_PC; None where they are logits already."""
    output_width: Callable[[PretrainedConfig], int]
    """The C of `forward`'s x_PC."""
    evaluate: Callable[[PreTrainedModel, Encoded, Data, Execution], np.ndarray]
    """The model's answer to every row, in row order, on every worker; the rows are shared out."""
    score: Callable[[str, np.ndarray, np.ndarray], float]
    """A metric (by name) of a split's answers against its labels; in percent, the larger the
    better."""
    beside: Callable[[str, Names], tuple[str, ...]]
    """Metrics that are told along with this one of a finished trial, where these are the names."""
    baseline: Callable[[str, np.ndarray], float]
    """The best that one and the same answer to every example scores against these labels."""
    predictions: Predictions
    """One row a test example, in columns: id, label, predicted, correct, and the family's own."""


@dataclass(frozen=True)
class Data:
    """The encoded splits. `test` carries no labels; `test_labels` is called after training."""

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
    """The rows of each part of test. The metric is of the first."""
