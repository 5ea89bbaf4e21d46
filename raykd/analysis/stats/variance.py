"""Variance components of the scores: map, seed, init and the rest.

Tables are balanced, so the REML estimates of the mixed model are those of the analysis of variance,
in closed form. Intervals of shares are generalized confidence intervals (Weerahandi 1995): each
mean square is divided by a draw of its chi-squared distribution. The share of sampled maps has an
exact F interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from raykd.analysis.stats.paired import Array

DRAWS = 20_000


@dataclass(frozen=True)
class Share:
    """Share of one source. `sd` is in the metric's units; `share` and `interval` lie in 0 to 1."""

    source: str
    sd: float
    share: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Shares:
    """Shares of all sources, which add up to 1. `p_map`: F test that all maps are equal."""

    sources: tuple[Share, ...]
    p_map: float
    level: float
    strategies: int
    seeds: int
    inits: int


@dataclass(frozen=True)
class Sampled:
    """Whether the map matters beyond seed noise, from maps drawn uniformly from all maps.

    `share` = map / (map + noise), where noise is the variance between seeds without the part that
    all maps share.
    """

    maps: int
    seeds: int
    design: str
    """`crossed`: every map under every seed; `one map a seed`: noise is that of fixed maps."""
    sd_map: float
    sd_noise: float
    share: float
    interval: tuple[float, float]
    level: float
    p: float
    says: str


def shares(scores: Array, alpha: float, seed: int = 0) -> Shares | None:
    """Return the shares of variance, or None if all scores are equal.

    scores: [inits, strategies, seeds], nothing missing, at least two strategies and seeds. With one
    init: score = map + seed + rest. With several: map + init + map x init + seed + rest.
    """
    y = np.asarray(scores, dtype=float)
    inits, maps, seeds = y.shape
    squares, mixing = _anova(y)
    if not y.std():
        return None
    names = list(squares)
    mean_squares = np.array([ss / df for ss, df in squares.values()])
    estimate = _components(mean_squares[:, None], mixing)[:, 0]
    rng = np.random.default_rng(seed)
    draws = np.stack([ss / rng.chisquare(df, DRAWS) for ss, df in squares.values()])
    parts = _components(draws, mixing)
    total = parts.sum(axis=0)
    ratio = np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)
    low, high = np.quantile(ratio, [alpha / 2, 1 - alpha / 2], axis=1)
    map_ms, rest_ms = mean_squares[0], mean_squares[-1]
    with np.errstate(divide="ignore"):
        # Maps with equal scores under every seed give 0 / 0: there is no difference.
        f = map_ms / rest_ms if map_ms else 0.0
        p = stats.f.sf(f, squares["map"][1], squares["rest"][1])
    return Shares(
        sources=tuple(
            Share(name, float(np.sqrt(v)), float(v / estimate.sum()), (float(a), float(b)))
            for name, v, a, b in zip(names, estimate, low, high, strict=True)
        ),
        p_map=float(p),
        level=1 - alpha,
        strategies=maps,
        seeds=seeds,
        inits=inits,
    )


def _anova(y: Array) -> tuple[dict[str, tuple[float, int]], Array]:
    """Return sums of squares with their degrees of freedom, and the matrix that turns mean squares
    into components; `rest` is last."""
    i, a, b = y.shape
    grand = y.mean()
    of_map, of_seed, of_init = y.mean(axis=(0, 2)), y.mean(axis=(0, 1)), y.mean(axis=(1, 2))
    squares = {"map": (i * b * float(((of_map - grand) ** 2).sum()), a - 1)}
    if i > 1:
        squares["init"] = (a * b * float(((of_init - grand) ** 2).sum()), i - 1)
        both = y.mean(axis=2) - of_map - of_init[:, None] + grand
        squares["map x init"] = (b * float((both**2).sum()), (a - 1) * (i - 1))
    squares["seed"] = (i * a * float(((of_seed - grand) ** 2).sum()), b - 1)
    total = float(((y - grand) ** 2).sum())
    rest = max(0.0, total - sum(ss for ss, _ in squares.values()))
    squares["rest"] = (rest, i * a * b - 1 - sum(df for _, df in squares.values()))
    if i > 1:  # expected mean squares of map and init include map x init
        rows = [
            [1 / (i * b), 0, -1 / (i * b), 0, 0],
            [0, 1 / (a * b), -1 / (a * b), 0, 0],
            [0, 0, 1 / b, 0, -1 / b],
            [0, 0, 0, 1 / (i * a), -1 / (i * a)],
            [0, 0, 0, 0, 1],
        ]
    else:
        rows = [[1 / b, 0, -1 / b], [0, 1 / a, -1 / a], [0, 0, 1]]
    return squares, np.array(rows, dtype=float)


def _components(mean_squares: Array, mixing: Array) -> Array:
    return np.maximum(mixing @ mean_squares, 0.0)


def sampled(maps: Array, fixed: Array | None, alpha: float) -> Sampled | None:
    """Return the sampled-maps test, exact for normal noise of equal variance; None without noise.

    Crossed design: maps [maps, seeds], every map under every seed, `fixed` None. One map a seed:
    maps [seeds], and fixed [strategies, seeds] of arms whose map is the same under every seed, from
    which the seed noise is estimated.
    """
    maps = np.asarray(maps, dtype=float)
    table = maps if fixed is None else np.asarray(fixed, dtype=float)
    k, n = table.shape
    df_noise = (k - 1) * (n - 1)
    residual = table - table.mean(axis=0) - table.mean(axis=1)[:, None] + table.mean()
    noise = float((residual**2).sum() / df_noise)
    if noise == 0:
        return None
    if fixed is None:
        square, df, per = n * float(table.mean(axis=1).var(ddof=1)), k - 1, 1 / n
    else:  # difference of each map's score to the mean of the fixed arms under its seed
        square, df, per = float((maps - table.mean(axis=0)).var(ddof=1)), n - 1, 1 + 1 / k
        square /= per
    f = square / noise
    quantiles = stats.f.ppf([1 - alpha / 2, alpha / 2], df, df_noise)
    low, high = (max(0.0, float(f / q - 1) * per) for q in quantiles)
    ratio = max(0.0, (f - 1) * per)
    p = float(stats.f.sf(f, df, df_noise))
    share, bounds = ratio / (1 + ratio), (low / (1 + low), high / (1 + high))
    count = k if fixed is None else n
    return Sampled(
        maps=count,
        seeds=n,
        design="crossed" if fixed is None else "one map a seed",
        sd_map=float(np.sqrt(ratio * noise)),
        sd_noise=float(np.sqrt(noise)),
        share=share,
        interval=bounds,
        level=1 - alpha,
        p=p,
        says=(
            f"Of what differs between {count} maps drawn at random, the map explains "
            f"{100 * share:.0f} % ({100 * bounds[0]:.0f} to {100 * bounds[1]:.0f} %), seed noise "
            f"the rest"
        ),
    )
