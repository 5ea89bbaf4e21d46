"""Several comparisons at once: Holm's step-down adjustment (1979)."""

from __future__ import annotations

import numpy as np

from raykd.analysis.tost import Array


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

    Supported where every comparison shows it, contradicted where any shows the opposite, each
    family of p-values adjusted by Holm. A wrong answer of either kind has probability alpha at
    most: a true opposite must be missed by its own test, and a false one must pass Holm's.
    """
    supported = (holm(p_for) <= alpha).all(axis=-1)
    contradicted = (holm(p_against) <= alpha).any(axis=-1)
    return supported, contradicted
