"""Mean of an effect over cells that differ: random effects with Hartung and Knapp's interval.

The model is y_k = mu + b_k + e_k: b_k is how far cell k is off, with variance tau^2, and e_k the
error of its estimate, with variance v_k. Hartung and Knapp's (2001) variance of a weighted mean m
is sum w_k (y_k - m)^2 / ((K - 1) sum w_k), and its interval has K - 1 degrees of freedom. It holds
for any fixed weights; here all cells have the same. The usual weights 1 / (v_k + tau^2) are worth
little here, because v_k is estimated from a few seeds: with five to twenty cells of three seeds,
TOST at 0.05 then errs in up to 0.089 of simulated sweeps (Paule and Mandel's tau^2), and in at most
0.053 with equal weights (benchmarks/average.md).

Cells of one task train under the same seeds, so that their errors e_k may be correlated. Then the
variance of the y_k misses the mean covariance c of two cells: that of m is sum (y_k - m)^2 /
(K (K - 1)) + c. c is estimated from the differences seed by seed, and not below 0. Above 0 the
degrees of freedom are those of the part with the fewest, cells or seeds: Satterthwaite's, from
estimated parts, err in up to 0.08 of sweeps of three seeds.

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
    """Mean over the cells, its standard error and degrees of freedom, and the SD of the cells' true
    effects."""

    mean: Array
    se: Array
    freedom: Array
    tau: Array
    cells: int

    def interval(self, level: float) -> tuple[Array, Array]:
        half = special.stdtrit(self.freedom, (1 + level) / 2) * self.se
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
        p: Array = special.stdtr(self.freedom, -t)
        return p


def random_effects(
    effects: Array, variances: Array, covariance: Array | float = 0.0, seeds: int = 2
) -> RandomEffects:
    """Average `effects` of cells, at least two, with `variances` of their estimates. `covariance`:
    mean over all pairs of cells of the covariance of their errors, estimated from `seeds`."""
    y, v = np.asarray(effects, dtype=float), np.asarray(variances, dtype=float)
    cells, common = y.shape[-1], np.maximum(0.0, covariance)
    variance = y.var(-1, ddof=1)
    freedom = np.where(common > 0, min(cells, seeds) - 1.0, cells - 1.0)
    tau = np.sqrt(np.maximum(0.0, variance - (v.mean(-1) - common)))
    return RandomEffects(y.mean(-1), np.sqrt(variance / cells + common), freedom, tau, cells)


def mean_covariance(differences: Array) -> Array:
    """Return the mean covariance of the errors of two cells' means, over all pairs of cells.
    `differences`: [..., K, seeds] under common seeds, at least two."""
    d = np.asarray(differences, dtype=float)
    cells, seeds = d.shape[-2:]
    off = d - d.mean(-1, keepdims=True)
    # The sum over all ordered pairs of cells, without those of a cell with itself.
    together = np.square(off.sum(-2)).sum(-1) - np.square(off).sum((-1, -2))
    covariance: Array = together / (seeds - 1) / (cells * (cells - 1)) / seeds
    return covariance
