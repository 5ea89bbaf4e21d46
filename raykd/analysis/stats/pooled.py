"""Intervals of the differences to forward with one variance for all arms of a cell.

They have more degrees of freedom than the paired intervals, so with few seeds they are narrower.
They assume that all arms are equally noisy, and err where one is noisier. So they are shown beside
the verdict and decide nothing; the simulated errors are shown with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from raykd.analysis.stats.paired import Array

NOISIER = 2.5
SIMULATED = 0.9  # level for which the errors were simulated
ERRORS = {3: (0.16, 0.13), 5: (0.23, 0.16), 9: (0.28, 0.18), 17: (0.32, 0.20), 33: (0.36, 0.21)}
"""By number of arms: simulated shares of sweeps in which the 90 % interval of one strategy misses
its true difference, if its SD, and if its variance, is 2.5 times that of the other arms. The worst
over numbers of seeds (benchmarks/pooled.py). With equal noise it is 0.1."""


@dataclass(frozen=True)
class Interval:
    """Of the difference of a strategy to forward, over the seeds that all arms have."""

    strategy: str
    effect: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Pooled:
    """`sd` of a paired difference, pooled over `arms` arms and `n` common seeds. `intervals` are at
    `level`. `errors`: simulated shares of sweeps in which an interval misses the truth, if the
    strategy's SD, and if its variance, is 2.5 times that of the others; None above 33 arms."""

    sd: float
    df: int
    arms: int
    n: int
    level: float
    intervals: tuple[Interval, ...]
    errors: tuple[float, float] | None


def bounds(scores: Array, level: float, resolution: float = 0.0) -> tuple[Array, Array, Array]:
    """Return (SD of a paired difference, low, high) of each arm minus the first one.

    scores: [..., seeds, arms], nothing missing, at least two of each. The residual variance of
    seed x arm has (seeds - 1)(arms - 1) degrees of freedom. `resolution`: the smallest step of a
    score, which the SD is never below."""
    scores = np.asarray(scores, dtype=float)
    n, arms = scores.shape[-2:]
    residual = (
        scores
        - scores.mean(axis=-1, keepdims=True)
        - scores.mean(axis=-2, keepdims=True)
        + scores.mean(axis=(-2, -1), keepdims=True)
    )
    df = (n - 1) * (arms - 1)
    sd = np.maximum(np.sqrt(2 * (residual**2).sum(axis=(-2, -1)) / df), resolution)
    means = scores.mean(axis=-2)
    effects = means[..., 1:] - means[..., :1]
    half = stats.t.ppf((1 + level) / 2, df) * sd[..., None] / np.sqrt(n)
    return sd, effects - half, effects + half


def pooled(names: Sequence[str], scores: Array, resolution: float = 0.0) -> Pooled | None:
    """Return the pooled intervals of each arm against the first one, forward; None with fewer than
    two seeds or three arms, or where no score differs.

    scores: [seeds, arms]."""
    n, arms = np.asarray(scores).shape
    if n < 2 or arms < 3:
        return None
    sd, low, high = bounds(scores, SIMULATED, resolution)
    if sd == 0:
        return None
    return Pooled(
        sd=float(sd),
        df=(n - 1) * (arms - 1),
        arms=arms,
        n=n,
        level=SIMULATED,
        intervals=tuple(
            Interval(name, float(a + b) / 2, (float(a), float(b)))
            for name, a, b in zip(names[1:], low, high, strict=True)
        ),
        errors=next((e for simulated, e in ERRORS.items() if simulated >= arms), None),
    )
