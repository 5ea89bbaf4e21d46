"""When a training ends before its last step: once its score on select has stopped rising."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raykd.tasks.task import Data
    from raykd.training.learner import Learner


def marks(steps: int, count: int) -> frozenset[int]:
    """`count` evenly spaced steps (1-based), the last one among them."""
    return frozenset(max(1, round(steps * i / count)) for i in range(1, count + 1))


def stalled(learner: Learner, done: int, data: Data) -> bool:
    """Whether a learner's training ends after `done` steps, since its last `patience` evaluations
    brought no new best score. It follows from the best score and its step alone, so that a training
    that is resumed ends where it would have ended.

    As long as the best score is no better than that of always giving the commonest answer, the
    training has not begun to rise, and goes on.
    """
    training, best = learner.trial.training, learner.best_step
    if training.patience is None:
        return False
    evaluations = marks(training.steps, training.evaluations)
    if sum(best < step <= done for step in evaluations) < training.patience:
        return False
    assert data.select.labels is not None
    return learner.best_score > data.family.baseline(learner.trial.metric, data.select.labels)
