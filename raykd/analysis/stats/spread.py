"""H3: the spread between strategies against the gain of matching.

spread = max - min over strategies, gain = their mean - none. The claim spread < c * gain is a claim
about linear contrasts, (i - j) - c * gain for each ordered pair, for which a t test is exact.
Inverted, the same tests bound the ratio (Fieller 1954). A bootstrap over few seeds does not keep
its level (docs/verdict.md), so it is reported but decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from raykd.analysis.stats.gap import contrasts
from raykd.analysis.stats.paired import Array, summary

SMALL = 0.5  # H3: the choice moves the score by less than half of what matching brings
BOOTSTRAP_SEEDS = 5  # fewer seeds have too few distinct resamples
RESAMPLES = 4000


@dataclass(frozen=True)
class SpreadRatio:
    """`ratio` = spread / gain; None if matching gains nothing. `interval` decides. `bootstrap`: the
    percentile interval over seeds, for comparison; None with fewer than five seeds."""

    spread: float
    gain: float
    ratio: float | None
    interval: tuple[float, float] | None
    bootstrap: tuple[float, float] | None
    level: float
    n: int


def claim(
    scores: Array, none: Array, alpha: float, small: float = SMALL, resolution: float = 0.0
) -> tuple[Array, Array]:
    """Return (supported, contradicted) for the claim spread < small * gain. SDs are at least
    `resolution`, the smallest step of a score.

    scores: [..., seeds, strategies]; none: [..., seeds]. Supported: the contrast of every pair is
    below 0 and the gain above 0, each at alpha. Contradicted: the contrast of some pair is above 0
    at half of alpha divided by the number of pairs, or the gain is below 0 at the other half.
    """
    upper, lower = _bounds(scores, none, alpha, small, resolution)
    lower_at_zero = _bounds(scores, none, alpha, 0.0, resolution)[1]
    gain_low, gain_high = _gain_bounds(scores, none, alpha, resolution)
    supported = (upper < 0).all(axis=-1) & (gain_low > 0)
    above = ((lower > 0) & (lower_at_zero > 0)).any(axis=-1)
    return supported, above | (gain_high < 0)


def _contrast(scores: Array, none: Array, small: float) -> Array:
    """Return the contrasts, [..., pairs, seeds]."""
    scores = np.asarray(scores, dtype=float)
    gain = scores.mean(axis=-1) - none
    pairs = np.swapaxes(scores @ contrasts(scores.shape[-1]).T, -1, -2)
    return pairs - small * gain[..., None, :]


def _criticals(n: int, pairs: int, alpha: float) -> tuple[float, float]:
    """Return t quantiles for the upper bounds, and for the lower ones, which share alpha / 2."""
    return tuple(stats.t.ppf([1 - alpha, 1 - alpha / 2 / pairs], n - 1))


def _bounds(
    scores: Array, none: Array, alpha: float, small: float, resolution: float
) -> tuple[Array, Array]:
    contrast = _contrast(scores, none, small)
    pairs, n = contrast.shape[-2:]
    mean, sd = summary(contrast, resolution)
    for_upper, for_lower = _criticals(n, pairs, alpha)
    return mean + for_upper * sd / np.sqrt(n), mean - for_lower * sd / np.sqrt(n)


def _gain_bounds(
    scores: Array, none: Array, alpha: float, resolution: float
) -> tuple[Array, Array]:
    gain = np.asarray(scores, dtype=float).mean(axis=-1) - none
    n = gain.shape[-1]
    mean, sd = summary(gain, resolution)
    low, high = stats.t.ppf([1 - alpha, 1 - alpha / 2], n - 1)
    return mean - low * sd / np.sqrt(n), mean + high * sd / np.sqrt(n)


def against_gain(
    scores: Array, none: Array, alpha: float, seed: int = 0, resolution: float = 0.0
) -> SpreadRatio:
    """scores: [seeds, strategies], none: [seeds], at least two seeds and two strategies."""
    scores, none = np.asarray(scores, dtype=float), np.asarray(none, dtype=float)
    means = scores.mean(axis=0)
    spread, gain = float(means.max() - means.min()), float(means.mean() - none.mean())
    return SpreadRatio(
        spread=spread,
        gain=gain,
        ratio=spread / gain if gain > 0 else None,
        interval=_interval(scores, none, alpha, resolution),
        bootstrap=_bootstrap(scores, none, alpha, seed) if len(none) >= BOOTSTRAP_SEEDS else None,
        level=1 - 2 * alpha,
        n=len(none),
    )


def _interval(
    scores: Array, none: Array, alpha: float, resolution: float
) -> tuple[float, float] | None:
    """Return the ratios that the tests of `claim` do not reject; None if matching shows a loss."""
    gain_low, gain_high = _gain_bounds(scores, none, alpha, resolution)
    if gain_high < 0:
        return None
    pairs = _contrast(scores, none, 0.0)
    gain = scores.mean(axis=-1) - none
    for_upper, for_lower = _criticals(len(gain), len(pairs), alpha)
    low = max(0.0, *(_last_above(pair, gain, for_lower, resolution) for pair in pairs))
    if gain_low <= 0:
        return low, np.inf
    return low, max(0.0, *(_first_below(pair, gain, for_upper, resolution) for pair in pairs))


def _roots(pair: Array, gain: Array, critical: float) -> tuple[float, float]:
    """Return the ratios c at which mean(pair - c gain) = -+ critical * its standard error."""
    n = len(gain)
    a, g = pair.mean(), gain.mean()
    cov = np.cov(pair, gain) / n * critical**2
    square = g**2 - cov[1, 1], -2 * (a * g - cov[0, 1]), a**2 - cov[0, 0]
    root = np.sqrt(max(0.0, square[1] ** 2 - 4 * square[0] * square[2]))
    roots = sorted(((-square[1] - root) / 2 / square[0], (-square[1] + root) / 2 / square[0]))
    return float(roots[0]), float(roots[1])


def _first_below(pair: Array, gain: Array, critical: float, resolution: float) -> float:
    """Return the c at which the pair's upper bound falls below 0, also with an SD of at least one
    step. The gain is above 0 at this level."""
    step = critical * resolution / np.sqrt(len(gain))
    return max(_roots(pair, gain, critical)[1], float((pair.mean() + step) / gain.mean()))


def _last_above(pair: Array, gain: Array, critical: float, resolution: float) -> float:
    """Return the largest c at which the pair's lower bound is above 0, or 0 if there is none."""
    mean, sd = summary(pair, resolution)
    if mean - critical * sd / np.sqrt(len(gain)) <= 0:
        return 0.0
    roots = [c for c in _roots(pair, gain, critical) if c > 0]
    if gain.mean() > 0:
        step = critical * resolution / np.sqrt(len(gain))
        roots.append(float((mean - step) / gain.mean()))
    return min(roots, default=np.inf)


def _bootstrap(scores: Array, none: Array, alpha: float, seed: int) -> tuple[float, float]:
    """Return percentiles of the ratio over resampled seeds. Resamples without gain count as
    infinite."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(none), (RESAMPLES, len(none)))
    means = scores[rows].mean(axis=1)
    gain = means.mean(axis=1) - none[rows].mean(axis=1)
    spread = means.max(axis=1) - means.min(axis=1)
    ratios = np.where(gain > 0, spread / np.where(gain > 0, gain, 1.0), np.inf)
    low, high = np.quantile(ratios, [alpha, 1 - alpha], method="inverted_cdf")
    return float(low), float(high)
