"""Paired differences against a margin: tests and intervals that share one t distribution.

Everything works on arrays, so that ten thousand simulated sweeps take the very path of one real
sweep. `mean`, `sd` and `n` are those of paired differences; n - 1 degrees of freedom.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

Array = Any
"""A float array, or a float where one comparison is meant."""


def summary(differences: Array, resolution: float = 0.0) -> tuple[Array, Array]:
    """Mean and SD over the last axis (seeds, at least two).

    `resolution` is the smallest step of a score. Two seeds whose differences are the same number
    by the coarseness of the test set show an SD of 0, which would prove anything: an SD is never
    taken below one step, unless every difference is 0, as between two arms that are the same.
    """
    differences = np.asarray(differences, dtype=float)
    sd = differences.std(axis=-1, ddof=1)
    same = (differences == 0).all(axis=-1)
    return differences.mean(axis=-1), np.where(same, sd, np.maximum(sd, resolution))


def p_above(mean: Array, sd: Array, n: Array, bound: Array) -> Array:
    """One-sided p-value for: the true difference is above `bound`."""
    mean, bound = np.asarray(mean, dtype=float), np.asarray(bound, dtype=float)
    se = np.asarray(sd, dtype=float) / np.sqrt(n)
    off = mean - bound
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(se > 0, off / se, np.where(off == 0, 0.0, np.sign(off) * np.inf))
    return stats.t.sf(t, np.asarray(n) - 1)


def p_below(mean: Array, sd: Array, n: Array, bound: Array) -> Array:
    """One-sided p-value for: the true difference is below `bound`."""
    return p_above(-np.asarray(mean, dtype=float), sd, n, -np.asarray(bound, dtype=float))


def p_tost(mean: Array, sd: Array, n: Array, margin: float) -> Array:
    """For: the true difference is within the margin. Two one-sided tests (Schuirmann 1987)."""
    return np.maximum(p_below(mean, sd, n, margin), p_above(mean, sd, n, -margin))


def p_beyond(mean: Array, sd: Array, n: Array, margin: float) -> Array:
    """For: the true difference is beyond the margin, on either side.

    Twice the smaller one-sided p-value: where the noise is far larger than the margin, both sides
    are as likely, and one alone would be wrong twice as often as it says.
    """
    sides = np.minimum(p_above(mean, sd, n, margin), p_below(mean, sd, n, -margin))
    return np.minimum(1.0, 2 * sides)


def interval(mean: Array, sd: Array, n: Array, level: float) -> tuple[Array, Array]:
    """Two-sided t interval of a confidence level, 0.9 for TOST at 0.05."""
    half = stats.t.ppf((1 + level) / 2, np.asarray(n) - 1) * np.asarray(sd) / np.sqrt(n)
    return mean - half, mean + half
