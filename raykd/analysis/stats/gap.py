"""The largest gap between any two strategies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from raykd.analysis.stats.paired import Array, interval, summary


@dataclass(frozen=True)
class Gap:
    """`best` minus `worst` by their means over the common seeds of all strategies. `interval` holds
    for the largest true gap, whichever pair it is between."""

    best: str
    worst: str
    effect: float
    interval: tuple[float, float]
    level: float
    n: int
    strategies: int


def contrasts(strategies: int) -> Array:
    """Return a row for each ordered pair: 1 at the first, -1 at the second."""
    pairs = list(permutations(range(strategies), 2))
    rows = np.zeros((len(pairs), strategies))
    for row, (first, second) in zip(rows, pairs, strict=True):
        row[first], row[second] = 1, -1
    return rows


def bounds(scores: Array, level: float, resolution: float = 0.0) -> tuple[Array, Array]:
    """Return an interval for max - min of the true means. scores: [..., seeds, strategies].

    Every pair has its own SD, so equal variances are not assumed. The upper bound needs no
    correction: the true largest gap belongs to one pair, whose bound fails with probability
    (1 - level) / 2. The lower bound may fail for any pair, so it has Bonferroni's correction over
    the ordered pairs.
    """
    scores = np.asarray(scores, dtype=float)
    n, k = scores.shape[-2:]
    pairs = contrasts(k)
    mean, sd = summary(np.swapaxes(scores @ pairs.T, -1, -2), resolution)
    upper = interval(mean, sd, n, level)[1].max(axis=-1)
    strict = 1 - (1 - level) / len(pairs)
    lower = interval(mean, sd, n, strict)[0].max(axis=-1)
    return np.maximum(lower, 0.0), upper


def largest(names: Sequence[str], scores: Array, alpha: float, resolution: float = 0.0) -> Gap:
    """Return the largest gap. scores: [seeds, strategies], at least 2 x 2; larger is better."""
    means = np.asarray(scores).mean(axis=0)
    best, worst = int(means.argmax()), int(means.argmin())
    low, high = bounds(scores, 1 - alpha, resolution)
    return Gap(
        best=names[best],
        worst=names[worst],
        effect=float(means[best] - means[worst]),
        interval=(float(low), float(high)),
        level=1 - alpha,
        n=len(scores),
        strategies=len(names),
    )
