"""Power of the verdict's tests and the seeds needed, exact for normal differences.

`sd` is the SD of a paired difference: two strategies under one seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from raykd.analysis.as_json import plain

POWER = 0.8
MOST_SEEDS = 10_000
NODES, WEIGHTS = np.polynomial.legendre.leggauss(200)
FEW_NODES, FEW_WEIGHTS = np.polynomial.legendre.leggauss(32)
MORE_NODES, MORE_WEIGHTS = np.polynomial.legendre.leggauss(64)
REACH = 7.0  # standard errors; the probability beyond is negligible
TINY = 1e-13


def tost_power(n: int, sd: float, margin: float, effect: float, alpha: float) -> float:
    """Return the probability that paired TOST shows |difference| < margin.

    The mean and the SD are independent, so the probability that the mean falls where both tests
    reject is integrated over the chi distribution of the SD (Phillips 1990; a form of Owen's Q).
    """
    if sd == 0:
        return float(abs(effect) < margin)
    df, root = n - 1, math.sqrt(n) / sd
    critical = stats.t.ppf(1 - alpha, df)
    widest = margin * root / critical  # largest s / sd for which a mean can pass both tests
    low, high = np.sqrt(stats.chi2.ppf([TINY, 1 - TINY], df) / df)
    high = min(high, widest)
    if high <= low:
        return 0.0
    u = (high - low) / 2 * NODES + (high + low) / 2
    inside = special.ndtr((margin - effect) * root - critical * u) - special.ndtr(
        critical * u - (margin + effect) * root
    )
    density = 2 * u * df * stats.chi2.pdf(u**2 * df, df)
    return float((high - low) / 2 * np.sum(WEIGHTS * np.maximum(inside, 0) * density))


def all_equivalent_power(
    n: int, sd: float, margin: float, effect: float, alpha: float, comparisons: int
) -> float:
    """Return the probability that paired TOST at alpha shows all of several strategies to be
    equivalent to forward, if all differ from it by `effect`: the power of H1, an intersection-union
    test.

    Arms have independent normal noise of equal size, SD / sqrt(2), and share forward. Given the
    scores of forward, the comparisons are independent and depend on these scores only through their
    mean and sum of squares; the SD of a strategy's differences is then noncentral chi. The joint
    power is the mean over forward's scores of one comparison's conditional power, raised to the
    number of comparisons, and is integrated numerically.
    """
    if comparisons == 1 or sd == 0:
        return tost_power(n, sd, margin, effect, alpha)
    df, root = n - 1, math.sqrt(2 * n) / sd  # in standard errors of an arm's mean
    critical = stats.t.ppf(1 - alpha, df) / math.sqrt(df)
    widest = margin * root / critical
    low, high = np.sqrt(stats.chi2.ppf([TINY, 1 - TINY], df))
    spread = (high - low) / 2 * FEW_NODES + (
        high + low
    ) / 2  # SD of forward's scores, chi-distributed
    centre = np.sqrt(df + spread**2)
    start = np.maximum(centre - REACH, 0.0)
    half = (np.maximum(np.minimum(centre + REACH, widest), start) - start) / 2
    u = half[:, None] * (MORE_NODES + 1) + start[:, None]
    density = 2 * u * stats.ncx2.pdf(u**2, df, spread[:, None] ** 2) * half[:, None] * MORE_WEIGHTS
    forward_mean = REACH * FEW_NODES  # mean of forward, in its standard errors
    off = (effect * root - forward_mean)[:, None, None]
    inside = special.ndtr(margin * root - critical * u - off) - special.ndtr(
        critical * u - margin * root - off
    )
    power_of_one = np.clip((np.maximum(inside, 0) * density).sum(axis=-1), 0, 1)
    weights = np.outer(
        REACH * FEW_WEIGHTS * stats.norm.pdf(forward_mean),
        (high - low) / 2 * FEW_WEIGHTS * 2 * spread * stats.chi2.pdf(spread**2, df),
    )
    return float(np.clip((weights * power_of_one**comparisons).sum(), 0, 1))


def above_power(n: int, sd: float, bound: float, effect: float, alpha: float) -> float:
    """Return the probability that a one-sided t test shows difference > bound (noncentral t)."""
    if sd == 0:
        return float(effect > bound)
    critical = stats.t.ppf(1 - alpha, n - 1)
    return float(stats.nct.sf(critical, n - 1, (effect - bound) * math.sqrt(n) / sd))


def beyond_power(n: int, sd: float, margin: float, effect: float, alpha: float) -> float:
    """Return the probability that |difference| > margin is shown, on either side."""
    upper = above_power(n, sd, margin, effect, alpha / 2)
    return upper + above_power(n, sd, margin, -effect, alpha / 2)


def sd_range(sd: float, n: int) -> tuple[float, float]:
    """Return the 80 % interval of the true SD, of n normal differences whose SD is `sd`."""
    high, low = stats.chi2.ppf([0.1, 0.9], n - 1)
    return sd * math.sqrt((n - 1) / low), sd * math.sqrt((n - 1) / high)


def seeds_for(power: Callable[[int], float], target: float = POWER) -> int | None:
    """Return the fewest seeds (at least two) whose power reaches the target; None above 10,000."""
    high = 2
    while power(high) < target:
        if high >= MOST_SEEDS:
            return None
        high = min(2 * high, MOST_SEEDS)
    low = max(1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        if power(middle) < target:
            low = middle
        else:
            high = middle
    return high


def all_of(powers: Sequence[Callable[[int], float]]) -> Callable[[int], float]:
    """Return a lower bound on the power of several tests to succeed together, whatever their
    dependence (Bonferroni's inequality)."""
    return lambda n: 1 - sum(1 - power(n) for power in powers)


def largest_sd(n: int, margin: float, alpha: float, comparisons: int) -> float | None:
    """Return the largest SD at which n seeds show that several equal arms are all equivalent to
    forward, with joint power 0.8; None with fewer than two seeds."""
    if n < 2:
        return None

    def short(log_sd: float) -> float:
        sd = margin * math.exp(log_sd)
        return all_equivalent_power(n, sd, margin, 0.0, alpha, comparisons) - POWER

    return float(margin * math.exp(optimize.brentq(short, -15, 10)))


@dataclass(frozen=True)
class Point:
    """Power at a number of seeds. `equal`, `half`: to show that every arm is equivalent to forward,
    if all equal it, or differ by half the margin on one side. `twice`: to show that one arm, off by
    twice the margin, is different."""

    seeds: int
    equal: float
    half: float
    twice: float


@dataclass(frozen=True)
class Needed:
    """Seeds for power 0.8, None if 10,000 do not suffice, and the power curve. `equal` and `half`
    are for all comparisons together, `twice` is for one of several comparisons."""

    sd: float
    margin: float
    alpha: float
    comparisons: int
    equal: int | None
    half: int | None
    twice: int | None
    curve: tuple[Point, ...]
    source: str = ""

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = plain(self)
        return {"power": POWER, **result}


def needed(sd: float, margin: float, alpha: float, comparisons: int, source: str = "") -> Needed:
    """Return the seeds needed for a margin, with several strategies in addition to forward.

    To show that all are equivalent, each test must pass at alpha, all in one sweep. To show that
    one is different, its test must pass Holm's strictest level.
    """
    powers: dict[str, Callable[[int], float]] = {
        "equal": lambda n: all_equivalent_power(n, sd, margin, 0.0, alpha, comparisons),
        "half": lambda n: all_equivalent_power(n, sd, margin, margin / 2, alpha, comparisons),
        "twice": lambda n: beyond_power(n, sd, margin, 2 * margin, alpha / comparisons),
    }
    seeds = {name: seeds_for(power) for name, power in powers.items()}
    reached = [n for n in seeds.values() if n is not None]
    last = min(max([10, *reached]), 40)
    curve = tuple(
        Point(n, **{name: power(n) for name, power in powers.items()}) for n in range(2, last + 1)
    )
    return Needed(sd, margin, alpha, comparisons, **seeds, curve=curve, source=source)
