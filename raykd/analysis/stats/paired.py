"""Paired differences against a margin: tests and intervals that share one t distribution.

All functions work on arrays, so simulations of many sweeps run the same code as one real sweep.
`mean`, `sd` and `n` are those of paired differences, with n - 1 degrees of freedom.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

Array = Any
"""A float array, or a float for a single comparison."""


def summary(
    differences: Array, resolution: float = 0.0, identical: bool = False
) -> tuple[Array, Array]:
    """Return mean and SD over the last axis (seeds, at least two).

    `resolution` is the smallest step of a score. On a coarse test set the differences of two seeds
    may coincide, and an SD of 0 would make every effect significant. The SD is therefore at least
    one step. With `identical`, both arms are the same trainings, whose differences are 0 and have
    no SD.
    """
    differences = np.asarray(differences, dtype=float)
    sd = differences.std(axis=-1, ddof=1)
    return differences.mean(axis=-1), sd if identical else np.maximum(sd, resolution)


def p_above(mean: Array, sd: Array, n: Array, bound: Array) -> Array:
    """Return the one-sided p-value for: the true difference is above `bound`."""
    mean, bound = np.asarray(mean, dtype=float), np.asarray(bound, dtype=float)
    se = np.asarray(sd, dtype=float) / np.sqrt(n)
    off = mean - bound
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(se > 0, off / se, np.where(off == 0, 0.0, np.sign(off) * np.inf))
    return stats.t.sf(t, np.asarray(n) - 1)


def p_below(mean: Array, sd: Array, n: Array, bound: Array) -> Array:
    """Return the one-sided p-value for: the true difference is below `bound`."""
    return p_above(-np.asarray(mean, dtype=float), sd, n, -np.asarray(bound, dtype=float))


def p_tost(mean: Array, sd: Array, n: Array, margin: float) -> Array:
    """Return the p-value for: the true difference is within the margin. Two one-sided tests
    (Schuirmann 1987)."""
    return np.maximum(p_below(mean, sd, n, margin), p_above(mean, sd, n, -margin))


def p_beyond(mean: Array, sd: Array, n: Array, margin: float) -> Array:
    """Return the p-value for: the true difference is beyond the margin, on either side.

    This is twice the smaller one-sided p-value. If the noise is much larger than the margin, both
    sides are equally likely, so the smaller p-value alone would double the error rate.
    """
    sides = np.minimum(p_above(mean, sd, n, margin), p_below(mean, sd, n, -margin))
    return np.minimum(1.0, 2 * sides)


def interval(mean: Array, sd: Array, n: Array, level: float) -> tuple[Array, Array]:
    """Return the two-sided t interval of a confidence level, 0.9 for TOST at 0.05."""
    half = stats.t.ppf((1 + level) / 2, np.asarray(n) - 1) * np.asarray(sd) / np.sqrt(n)
    return mean - half, mean + half


def holm(p: Array) -> Array:
    """Return Holm-adjusted p-values over the last axis. Equal to
    `statsmodels.stats.multitest.multipletests`, but for any number of rows at once."""
    p = np.asarray(p, dtype=float)
    m = p.shape[-1]
    order = np.argsort(p, axis=-1, kind="stable")
    stepped = np.take_along_axis(p, order, axis=-1) * np.arange(m, 0, -1)
    adjusted = np.minimum(1.0, np.maximum.accumulate(stepped, axis=-1))
    result = np.empty_like(adjusted)
    np.put_along_axis(result, order, adjusted, axis=-1)
    return result


def claim(p_for: Array, p_against: Array, alpha: float) -> tuple[Array, Array]:
    """Judge a claim about all of several comparisons: (supported, contradicted).

    Supported if every p-value is at most alpha, without correction. If the claim is false, it is
    false for some comparison, whose own test errs with probability alpha at most, however the tests
    depend on each other (intersection-union, Berger 1982). Contradicted if some comparison shows
    the opposite; any of them may err, so these p-values are adjusted by Holm.
    """
    supported = (np.asarray(p_for) <= alpha).all(axis=-1)
    contradicted = (holm(p_against) <= alpha).any(axis=-1)
    return supported, contradicted


def last_step(p: Array, alpha: float) -> float:
    """Return the level at which Holm's procedure stops: it rejects exactly the hypotheses whose
    p-values are at most this level. p: [comparisons]."""
    p = np.asarray(p, dtype=float)
    remaining = int((holm(p) > alpha).sum())
    return alpha / max(1, remaining)
