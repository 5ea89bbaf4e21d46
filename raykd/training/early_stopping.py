"""Early stopping: a training ends once its score on select has stopped improving."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raykd.tasks.task import Data
    from raykd.training.learner import Learner


def marks(steps: int, count: int) -> frozenset[int]:
    """Return `count` evenly spaced steps (1-based), including the last one."""
    return frozenset(max(1, round(steps * i / count)) for i in range(1, count + 1))


def stalled(learner: Learner, done: int, data: Data) -> bool:
    """Return whether a learner's training ends after `done` steps, because its last `patience`
    evaluations brought no new best score. The answer depends only on the best score and its step,
    so a resumed training ends at the same step.

    While the best score is no better than the majority class, the training always continues.
    """
    training, best = learner.trial.training, learner.best_step
    if training.patience is None:
        return False
    evaluations = marks(training.steps, training.evaluations)
    if sum(best < step <= done for step in evaluations) < training.patience:
        return False
    assert data.select.labels is not None
    metric, sign = learner.trial.metric, data.sign(learner.trial.metric)
    constant = data.family.baseline(metric, data.select.labels, data.select)
    return sign * learner.best_score > sign * constant
