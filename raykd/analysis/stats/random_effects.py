"""Mean of an effect over cells that differ: random effects with Hartung and Knapp's interval.

The model is y_k = mu + b_k + e_k: b_k is how far cell k is off, with variance tau^2, and e_k the
error of its estimate, with variance v_k. Hartung and Knapp's (2001) variance of a weighted mean m
is sum w_k (y_k - m)^2 / ((K - 1) sum w_k), and its interval has K - 1 degrees of freedom. It holds
for any fixed weights; here all cells have the same. The usual weights 1 / (v_k + tau^2) are worth
little here, because v_k is estimated from a few seeds: with five to twenty cells of three seeds,
TOST at 0.05 then errs in up to 0.092 of simulated sweeps (Paule and Mandel's tau^2), and in at most
0.054 with equal weights (benchmarks/average.md).

tau^2 is Hedges and Olkin's (1985, section 9.B): the variance of the y_k minus the mean of the v_k,
unbiased before it is cut at 0, without iteration. It is shown and decides nothing.

Arrays are [..., K]: any number of analyses at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

Array = np.ndarray


@dataclass(frozen=True)
class RandomEffects:
    """Mean over the cells, its standard error, and the SD of the cells' true effects."""

    mean: Array
    se: Array
    tau: Array
    cells: int

    def interval(self, level: float) -> tuple[Array, Array]:
        half = special.stdtrit(self.cells - 1, (1 + level) / 2) * self.se
        return self.mean - half, self.mean + half

    def p_equivalent(self, margin: float) -> Array:
        """Return the p-value of TOST: the mean lies within the margin."""
        return self._p_above(margin - np.abs(self.mean))

    def p_beyond(self, margin: float) -> Array:
        """Return the p-value that the mean lies beyond the margin, on either side."""
        p: Array = np.minimum(1.0, 2 * self._p_above(np.abs(self.mean) - margin))
        return p

    def _p_above(self, distance: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(distance == 0, 0.0, distance / self.se)
        p: Array = special.stdtr(self.cells - 1, -t)
        return p


def random_effects(effects: Array, variances: Array) -> RandomEffects:
    """`effects`: of each cell; `variances`: of these estimates. At least two cells."""
    y, v = np.asarray(effects, dtype=float), np.asarray(variances, dtype=float)
    cells = y.shape[-1]
    variance = y.var(-1, ddof=1)
    tau = np.sqrt(np.maximum(0.0, variance - v.mean(-1)))
    return RandomEffects(y.mean(-1), np.sqrt(variance / cells), tau, cells)
