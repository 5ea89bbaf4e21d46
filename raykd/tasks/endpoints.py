"""Secondary endpoints on test: negative log-likelihood, Brier score, agreement with the teacher.

They are computed from the answers that a student's evaluation returns, so they cost no pass. Tasks
whose answers are generated texts have none: generation gives no probability of the reference, so
NLL by token would take a second pass over labelled targets, which test rows do not hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from raykd.tasks.task import Task

LARGER_IS_BETTER = {"nll": False, "brier": False, "agreement": True}
"""The endpoints by name. NLL is in nats, the Brier score from 0 to 2, agreement in percent."""

PREFIX = "endpoints/"
"""Of the metrics of a run that hold the means over test examples."""

COLUMNS = {"nll": "nll", "brier": "brier", "agreement": "agrees"}
"""The column of predictions that holds an endpoint by test example."""


def by_example(
    task: Task, metric: str, answers: np.ndarray, labels: np.ndarray, teacher: np.ndarray | None
) -> dict[str, list[Any]]:
    """Return the columns of the endpoints, one entry for each test example; empty for answers
    without probabilities of classes. `teacher`: the class that the teacher chooses for each
    example, if it is known."""
    logits = task.class_logits(answers)
    if logits is None:
        return {}
    nll, brier = nll_and_brier(logits, labels)
    columns: dict[str, list[Any]] = {"nll": nll.tolist(), "brier": brier.tolist()}
    chosen = task.chosen(answers, metric)
    if teacher is not None and chosen is not None:
        columns["agrees"] = (chosen == teacher).tolist()
    return columns


def nll_and_brier(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return -log p(label) and the sum over classes of (p - [class is label])² of each row.

    logits: [rows, classes], -inf for classes that a row lacks; labels: [rows] of class numbers.
    """
    rows = np.arange(len(labels))
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = shifted - shifted.max(-1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(-1))
    nll = log_sums - shifted[rows, labels]
    errors = np.exp(shifted - log_sums[:, None])
    errors[rows, labels] -= 1
    return nll, (errors**2).sum(-1)


def means(columns: Mapping[str, list[Any]], parts: Mapping[str, slice]) -> dict[str, float]:
    """Return the mean of each endpoint, as `endpoints/nll`. As for scores, if test has parts the
    means are those of the first part; `endpoints/nll_mm` is that of part `mm`."""
    return {
        f"{PREFIX}{name}" + (f"_{part}" if i else ""): float(
            np.mean(columns[column][rows]) * (100 if name == "agreement" else 1)
        )
        for i, (part, rows) in enumerate(parts.items())
        for name, column in COLUMNS.items()
        if column in columns
    }
