"""A model over a split: every row once, shared out over the workers; and what test says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PreTrainedModel

from raykd.data.batches import eval_batches
from raykd.runtime.group import Group

if TYPE_CHECKING:
    from raykd.tasks.family import Data


def over_rows(
    model: PreTrainedModel,
    lengths: np.ndarray,
    batch: int,
    group: Group,
    answer: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """`answer` of row indices, near lengths together, as one array in row order, on every worker.
    The model is in eval mode meanwhile, without gradients. Where a GPU has no room for a batch, it
    and all after it are halved. Raises torch.OutOfMemoryError where one row is too much."""
    mine, waiting = [], eval_batches(lengths, batch)[group.rank :: group.world]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        while waiting:
            try:
                mine.append((waiting[0], answer(waiting[0])))
                del waiting[0]
            except torch.OutOfMemoryError:
                if len(waiting[0]) == 1:
                    raise
                waiting = [half for rows in waiting for half in _halves(rows)]
    model.train(was_training)
    parts = [part for worker in group.gather(mine) for part in worker]  # type: ignore[attr-defined]
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    return np.concatenate([found for _, found in parts])[order]


def _halves(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, min(2, len(rows)))


def scores_on_test(
    data: Data, metric: str, answers: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """`test_accuracy`, and likewise the metrics that are told beside it. They are of the first part
    of test, where it has parts; `test_accuracy_mm` is of the part `mm`."""
    found = {}
    for i, (part, rows) in enumerate(data.parts.items()):
        for name in (metric, *data.family.beside(metric, data.labels)):
            score = data.family.score(name, answers[rows], labels[rows])
            found[f"test_{name}" + (f"_{part}" if i else "")] = score
    return found


def predictions_on_test(
    data: Data, metric: str, answers: np.ndarray, labels: np.ndarray
) -> dict[str, Any]:
    """The family's columns, and the `part` of test that each row is of, where it has parts."""
    ids = data.test.examples
    found = data.family.predictions(ids, labels, answers, data.labels, metric)
    if len(data.parts) == 1:
        return found
    parts = np.empty(len(ids), dtype=object)
    for part, rows in data.parts.items():
        parts[rows] = part
    return {**found, "part": parts.tolist()}


def first_part(data: Data) -> slice:
    """The rows of test that the metric is of."""
    return next(iter(data.parts.values()))
