"""Several comparisons at once: Holm's step-down adjustment (1979) for "some", the
intersection-union test (Berger 1982) for "every"."""

from __future__ import annotations

import numpy as np

from raykd.analysis.stats.paired import Array


def holm(p: Array) -> Array:
    """Adjusted p-values over the last axis, as `statsmodels.stats.multitest.multipletests` gives
    for one row; here for any number of rows at once."""
    p = np.asarray(p, dtype=float)
    m = p.shape[-1]
    order = np.argsort(p, axis=-1, kind="stable")
    stepped = np.take_along_axis(p, order, axis=-1) * np.arange(m, 0, -1)
    adjusted = np.minimum(1.0, np.maximum.accumulate(stepped, axis=-1))
    result = np.empty_like(adjusted)
    np.put_along_axis(result, order, adjusted, axis=-1)
    return result


def claim(p_for: Array, p_against: Array, alpha: float) -> tuple[Array, Array]:
    """A claim about all of several comparisons: (supported, contradicted).

    Supported where every p-value is at most alpha, without correction: where the claim is false,
    some comparison is not as claimed, and its own test errs with probability alpha at most, however
    the tests depend on each other (intersection-union, Berger 1982). Contradicted where some
    comparison shows the opposite; any of them may err, so those p-values are adjusted by Holm.
    """
    supported = (np.asarray(p_for) <= alpha).all(axis=-1)
    contradicted = (holm(p_against) <= alpha).any(axis=-1)
    return supported, contradicted


def last_step(p: Array, alpha: float) -> float:
    """The level at which Holm's procedure stops: the p-values that it rejects are exactly those
    that are at most this one. p: [comparisons]."""
    p = np.asarray(p, dtype=float)
    left = int((holm(p) > alpha).sum())
    return alpha / max(1, left)
