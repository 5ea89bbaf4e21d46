"""Answers of students to single test examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from raykd.analysis.scores.scores import Score

Arm = Mapping[int, Score]
"""One strategy's scores, by seed."""


def aligned(a: Score, b: Score) -> bool:
    """Whether both scores have per-example answers for the same test examples in the same order."""
    if a.ids is None or b.ids is None:
        return False
    return np.array_equal(a.ids, b.ids)


def one_set(arm: Arm, seeds: Sequence[int]) -> bool:
    return all(aligned(arm[seeds[0]], arm[s]) for s in seeds[1:])


def is_mean(score: Score) -> bool:
    """Whether a score is the mean of its answers: accuracy, or a score of each example."""
    return score.correct is not None and (score.correct.dtype != bool or score.metric == "accuracy")


def correctness(arms: Mapping[str, Arm], reference: Arm) -> list[np.ndarray]:
    """Return the differences in correctness to the reference for each arm, in percent: [seeds,
    examples], where the score is their mean and all seeds answer the same examples."""
    result = []
    for arm in arms.values():
        seeds = sorted(arm.keys() & reference.keys())
        known = all(aligned(arm[s], reference[s]) for s in seeds) and one_set(arm, seeds)
        if known and is_mean(arm[seeds[0]]):
            answers = [[np.asarray(a[s].correct, float) for s in seeds] for a in (arm, reference)]
            result.append(100 * (np.array(answers[0]) - np.array(answers[1])))
    return result
