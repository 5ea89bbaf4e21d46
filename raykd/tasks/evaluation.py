"""Evaluates a model on a split, with the rows divided over the workers; scores on test."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from raykd.data.batches import eval_batches
from raykd.runtime.group import Group

if TYPE_CHECKING:
    from raykd.tasks.task import Data


def over_rows(
    model: PreTrainedModel,
    lengths: np.ndarray,
    batch: int,
    group: Group,
    answer: Callable[[np.ndarray], Tensor | np.ndarray],
) -> np.ndarray:
    """`answer` of all rows as one array in row order, on every worker. It is called with row
    indices, rows of similar length together, in eval mode and without gradients. Answers that are
    tensors stay on their device until the last batch, so the host does not wait for each. If a GPU
    runs out of memory, the current batch and all later ones are halved. Raises
    torch.OutOfMemoryError if a single row does not fit."""
    batches: list[tuple[np.ndarray, Tensor | np.ndarray]] = []
    pending = eval_batches(lengths, batch)[group.rank :: group.world]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        while pending:
            try:
                batches.append((pending[0], answer(pending[0])))
                del pending[0]
            except torch.OutOfMemoryError:
                if len(pending[0]) == 1:
                    raise
                pending = [half for rows in pending for half in _halves(rows)]
    model.train(was_training)
    answered = on_host(batches)
    parts = [part for worker in group.gather(answered) for part in worker]  # type: ignore[attr-defined]
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    return np.concatenate([row_answers for _, row_answers in parts])[order]


def on_host(
    batches: list[tuple[np.ndarray, Tensor | np.ndarray]],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The rows of each batch with their answers in host memory: the one place of an evaluation
    where the host waits for the device."""
    return [
        (rows, answers.cpu().numpy() if isinstance(answers, Tensor) else answers)
        for rows, answers in batches
    ]


def _halves(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, min(2, len(rows)))


def scores_on_test(
    data: Data, metric: str, answers: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """`test_accuracy`, and in the same form the metrics that are reported with it. If test has
    parts, the scores are those of the first part; `test_accuracy_mm` is that of part `mm`."""
    scores = {}
    for i, (part, rows) in enumerate(data.parts.items()):
        for name in (metric, *data.family.secondary_metrics(metric, data.labels)):
            score = data.family.score(name, answers[rows], labels[rows])
            scores[f"test_{name}" + (f"_{part}" if i else "")] = score
    return scores


def predictions_on_test(
    data: Data, metric: str, answers: np.ndarray, labels: np.ndarray
) -> dict[str, Any]:
    """The family's columns, and if test has parts, the `part` of each row."""
    ids = data.test.examples
    columns = data.family.predictions(ids, labels, answers, data.labels, metric)
    if len(data.parts) == 1:
        return columns
    parts = np.empty(len(ids), dtype=object)
    for part, rows in data.parts.items():
        parts[rows] = part
    return {**columns, "part": parts.tolist()}


def first_part(data: Data) -> slice:
    """The rows of the first part of test, on which the metric is computed."""
    return next(iter(data.parts.values()))
