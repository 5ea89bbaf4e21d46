"""The interface of a task: everything that the training loop does not know about a kind of task.

A loss position is a place at which the model predicts something that has a right answer: one for
each example in classification, one for each target token in tasks that write text. An answer is the
output of a model for one example, on which it is scored: logits of classes, the likelihood of each
choice, or a text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import transformers
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from raykd.data.batches import Batch
from raykd.data.encoded import Encoded
from raykd.data.prepared import Prepared
from raykd.models import loading
from raykd.models.outputs import Head, Outputs
from raykd.runtime.execution import Execution
from raykd.tasks.kinds.metric import metric_of, metrics
from raykd.tasks.kinds.task_kind import TaskKind

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig

Names = tuple[str, ...]
"""Class labels in the order of a model; empty if there are no classes."""


class Task(ABC):
    """A kind of task. It has no state: all its instances are equal, and a worker makes its own.

    Subclasses are registered with `raykd.tasks.registry.register_task`.
    """

    kind: ClassVar[TaskKind]

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    @property
    def auto(self) -> Any:
        """Auto class of transformers that loads a folder or builds a model from a
        configuration."""
        return getattr(transformers, self.kind.auto)

    @abstractmethod
    def load_model(self, folder: Path, labels: Names, *, trained: bool) -> PreTrainedModel:
        """The model in a local folder, in fp32. If it is not `trained` yet, a missing head may be
        initialised from the current seed of torch. Raises UserError if it is incomplete."""

    def load_tokenizer(self, folder: Path) -> PreTrainedTokenizerBase:
        return loading.load_tokenizer(folder)

    def names(self, folder: Path, prepared: Prepared) -> Names:
        """Labels of the data in the order of the model in a folder."""
        return prepared.labels

    @abstractmethod
    def encode(
        self, prepared: Prepared, split: str, tokenizer: PreTrainedTokenizerBase, names: Names,
        config: TaskConfig, home: Path,
    ) -> Encoded:  # fmt: skip
        """Rows of a split as arrays: train for training, select and test for evaluation. The rows
        of test have no labels; those of select are in the order of `names`."""

    def test_labels(self, prepared: Prepared, names: Names) -> np.ndarray:
        """Labels as `score` compares them. Call this only after training has ended."""
        return prepared.test_labels()

    @abstractmethod
    def collate(
        self,
        encoded: Encoded,
        rows: np.ndarray,
        pad: int,
        whole: np.ndarray | None = None,
        pad_to: int | None = None,
    ) -> Batch:
        """Rows as tensors. `whole` holds the rows of the global batch if they are only a share of
        it; `pad_to` is the smallest padded length."""

    @abstractmethod
    def forward(self, model: PreTrainedModel, batch: Batch) -> Outputs:
        """Outputs of the model at the batch's P loss positions, in the order of `batch.labels`."""

    def head(self, model: PreTrainedModel) -> Head | None:
        """Maps `forward`'s x_PC to logits; None if they are logits."""
        return None

    def refuse_other_head(self, model: PreTrainedModel) -> None:  # noqa: B027  most have none
        """Raises UserError if `head` does not compute the logits of a model in eval mode; for tasks
        that have one."""

    def output_width(self, config: PretrainedConfig) -> int:
        """The C of `forward`'s x_PC."""
        return int(config.num_labels)

    @abstractmethod
    def longest_rows(self, rows: int, length: int, target: int | None) -> Encoded:
        """Rows of `length` tokens with a loss at every position that can have one, and targets of
        `target` tokens if the limit on them is another. For the forecast of memory."""

    @abstractmethod
    def evaluate(
        self, model: PreTrainedModel, encoded: Encoded, data: Data, where: Execution
    ) -> np.ndarray:
        """Answers of the model to all rows, in row order, on every worker; the rows are divided
        over the workers (`raykd.tasks.evaluation.over_rows`)."""

    def score(self, metric: str, answers: np.ndarray, labels: np.ndarray) -> float:
        """A metric, by name, of the answers to a split and its labels."""
        return metric_of(self.kind.name, metric).score(answers, labels)

    def secondary_metrics(self, metric: str, names: Names) -> tuple[str, ...]:
        """Metrics that are reported together with this metric for a finished trial, given the label
        names."""
        registered = metrics(self.kind.name).values()
        return tuple(m.name for m in registered if metric in m.reported_with)

    @abstractmethod
    def constant_answers(
        self, metric: str, labels: np.ndarray, encoded: Encoded | None = None
    ) -> Iterator[np.ndarray]:
        """For each answer that could be the best constant one, that answer to every row. `encoded`
        begins with the rows of these labels."""

    def baseline(self, metric: str, labels: np.ndarray, encoded: Encoded | None = None) -> float:
        """The best score of any constant answer on these labels."""
        constant = self.constant_answers(metric, labels, encoded)
        best = max if metric_of(self.kind.name, metric).larger_is_better else min
        return best(self.score(metric, answers, labels) for answers in constant)

    def class_logits(self, answers: np.ndarray) -> np.ndarray | None:
        """Logits [rows, classes] whose softmax is the probability of each class, by the numbers
        that labels have; None if answers have no such probabilities."""
        return None

    def chosen(self, answers: np.ndarray, metric: str) -> np.ndarray | None:
        """The number of the class that each answer is; None without `class_logits`."""
        return None

    @abstractmethod
    def predictions(
        self, ids: np.ndarray, labels: np.ndarray, answers: np.ndarray, names: Names, metric: str
    ) -> dict[str, Any]:
        """Columns with one row for each test example: id, label, predicted, correct, and the task's
        own. Instead of correctness, a `score` of each example may decide comparisons."""


@dataclass(frozen=True)
class Data:
    """The encoded splits. `test` has no labels; `test_labels` is called after training."""

    family: Task
    train: Encoded
    select: Encoded
    test: Encoded
    test_labels: Callable[[], np.ndarray]
    labels: tuple[str, ...]
    pad: int
    tokenizer: PreTrainedTokenizerBase
    task: TaskConfig
    eval_batch: int = 128
    parts: Mapping[str, slice] = field(default_factory=lambda: {"": slice(None)})
    """Rows of each part of test. The metric is that of the first part."""

    def sign(self, metric: str) -> int:
        """The factor that makes a larger score better, for a metric of the task by name."""
        return metric_of(self.family.kind.name, metric).sign


def flat_zeros(rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `length` zeros as `Encoded` stores them: flat, and their offsets."""
    return np.zeros(rows * length, dtype=np.int64), np.arange(rows + 1) * length


def longest_targets(rows: int, length: int, target: int) -> Encoded:
    """`Task.longest_rows` of tasks whose targets are tokens."""
    ids = np.zeros(rows, dtype=np.int64)
    return Encoded("", *flat_zeros(rows, length), None, None, ids, *flat_zeros(rows, target))
