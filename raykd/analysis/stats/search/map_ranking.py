"""Does a number that is read before a sweep rank the maps by their scores?

The number of a map is the mean, over student blocks s, of a matrix [student blocks, teacher blocks]
at (s, target of s). Spearman's rank correlation with the mean scores over seeds is compared with

- its noise ceiling, the square root of the reliability of the mean scores (Spearman 1904): scores
  that were repeated with other seeds would correlate with perfect numbers no higher on average;
- its values when the teacher's blocks are exchanged, over all permutations. A matrix whose values
  have nothing to do with the blocks ranks the maps no better than its permutations. Maps that share
  a block are not independent, so the usual p-value of a rank correlation would be far too small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from scipy import stats

from raykd.analysis.stats.paired import Array


@dataclass(frozen=True)
class MapVariance:
    """`reliability`: share of the variance of mean scores that other seeds would repeat. `p`: F
    test that all maps are equal."""

    maps: int
    seeds: int
    sd_map: float
    sd_noise: float
    reliability: float
    p: float

    @property
    def ceiling(self) -> float:
        """Largest rank correlation that the noise of the scores allows on average."""
        return float(np.sqrt(self.reliability))


@dataclass(frozen=True)
class Ranking:
    """`p`: share of the permutations of the teacher's blocks with at least this |correlation|."""

    correlation: float
    p: float
    permutations: int


def map_variance(scores_MS: Array) -> MapVariance:
    """Return the variance of scores [maps, seeds] that the map explains, by a two-way analysis of
    variance. The reliability is ICC(C, k) of McGraw and Wong (1996)."""
    maps, seeds = scores_MS.shape
    of_map, of_seed = scores_MS.mean(axis=1), scores_MS.mean(axis=0)
    rest = scores_MS - of_map[:, None] - of_seed + scores_MS.mean()
    df = (maps - 1) * (seeds - 1)
    noise = float((rest**2).sum() / df)
    square = seeds * float(of_map.var(ddof=1))
    return MapVariance(
        maps,
        seeds,
        sd_map=float(np.sqrt(max(0.0, square - noise) / seeds)),
        sd_noise=float(np.sqrt(noise)),
        reliability=max(0.0, 1 - noise / square),
        p=float(stats.f.sf(square / noise, maps - 1, df)),
    )


def map_numbers(matrix_ST: Array, maps: Sequence[Sequence[int]]) -> Array:
    """Return the number of each map, [maps]; targets are teacher blocks from 1."""
    targets_MS = np.asarray(maps) - 1
    return np.asarray(matrix_ST[np.arange(targets_MS.shape[1]), targets_MS].mean(axis=1))


def ranking(matrix_ST: Array, maps: Sequence[Sequence[int]], scores_M: Array) -> Ranking:
    """Return how a matrix ranks the maps by their mean scores over seeds."""
    orders = list(permutations(range(matrix_ST.shape[1])))
    numbers_PM = np.stack([map_numbers(matrix_ST[:, list(order)], maps) for order in orders])
    # Spearman's correlation is Pearson's of the ranks; sums of equal terms must give equal ranks.
    ranks_PM = stats.rankdata(numbers_PM.round(12), axis=1)
    ranks_PM -= ranks_PM.mean(axis=1, keepdims=True)
    ranks_M = stats.rankdata(scores_M.round(12))
    ranks_M -= ranks_M.mean()
    norms_P = np.sqrt((ranks_PM**2).sum(axis=1) * (ranks_M**2).sum())
    products_P = ranks_PM @ ranks_M
    rho_P = np.divide(products_P, norms_P, out=np.zeros_like(norms_P), where=norms_P > 0)
    as_far = np.abs(rho_P) >= abs(rho_P[0]) - 1e-12  # the first order is the identity
    return Ranking(float(rho_P[0]), float(as_far.mean()), len(orders))
