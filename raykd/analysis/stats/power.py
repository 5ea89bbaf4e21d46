"""Seeds needed: the power of the verdict's tests, exact under normal differences.

`sd` is of a paired difference: two strategies under one seed.
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
REACH = 7.0  # standard errors beyond which nothing lies
TINY = 1e-13


def tost_power(n: int, sd: float, margin: float, effect: float, alpha: float) -> float:
    """Probability that paired TOST shows |difference| < margin.

    The mean and the SD are independent: the chance that the mean falls where both tests reject,
    integrated over the chi distribution of the SD (Phillips 1990; Owen's Q in another form).
    """
    if sd == 0:
        return float(abs(effect) < margin)
    df, root = n - 1, math.sqrt(n) / sd
    critical = stats.t.ppf(1 - alpha, df)
    widest = margin * root / critical  # of s / sd: beyond it no mean passes both tests
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
    """Probability that paired TOST at alpha shows every one of several strategies to be equivalent
    to forward, where all differ from it by `effect`: the power of H1, an intersection-union test.

    Arms have independent normal noise of one size, SD / sqrt(2), and share forward. Given forward's
    scores the comparisons are independent, and depend on those scores by their mean and their sum
    of squares alone: a strategy's SD of differences is then noncentral chi. So the joint power is
    the mean, over forward's scores, of one comparison's conditional power to the power of their
    number, integrated numerically.
    """
    if comparisons == 1 or sd == 0:
        return tost_power(n, sd, margin, effect, alpha)
    df, root = n - 1, math.sqrt(2 * n) / sd  # in units of an arm's own standard error
    critical = stats.t.ppf(1 - alpha, df) / math.sqrt(df)
    widest = margin * root / critical
    low, high = np.sqrt(stats.chi2.ppf([TINY, 1 - TINY], df))
    spread = (high - low) / 2 * FEW_NODES + (high + low) / 2  # forward's own, as chi
    centre = np.sqrt(df + spread**2)
    start = np.maximum(centre - REACH, 0.0)
    half = (np.maximum(np.minimum(centre + REACH, widest), start) - start) / 2
    u = half[:, None] * (MORE_NODES + 1) + start[:, None]
    density = 2 * u * stats.ncx2.pdf(u**2, df, spread[:, None] ** 2) * half[:, None] * MORE_WEIGHTS
    luck = REACH * FEW_NODES  # forward's mean, in its standard errors
    off = (effect * root - luck)[:, None, None]
    inside = special.ndtr(margin * root - critical * u - off) - special.ndtr(
        critical * u - margin * root - off
    )
    one = np.clip((np.maximum(inside, 0) * density).sum(axis=-1), 0, 1)
    weights = np.outer(
        REACH * FEW_WEIGHTS * stats.norm.pdf(luck),
        (high - low) / 2 * FEW_WEIGHTS * 2 * spread * stats.chi2.pdf(spread**2, df),
    )
    return float(np.clip((weights * one**comparisons).sum(), 0, 1))


def above_power(n: int, sd: float, bound: float, effect: float, alpha: float) -> float:
    """Probability that a one-sided t test shows difference > bound (noncentral t)."""
    if sd == 0:
        return float(effect > bound)
    critical = stats.t.ppf(1 - alpha, n - 1)
    return float(stats.nct.sf(critical, n - 1, (effect - bound) * math.sqrt(n) / sd))


def beyond_power(n: int, sd: float, margin: float, effect: float, alpha: float) -> float:
    """Probability that |difference| > margin is shown, on either side."""
    upper = above_power(n, sd, margin, effect, alpha / 2)
    return upper + above_power(n, sd, margin, -effect, alpha / 2)


def seeds_for(power: Callable[[int], float], target: float = POWER) -> int | None:
    """The fewest seeds (two at least) whose power reaches the target; None above 10,000."""
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
    """A lower bound on the chance that all of several tests succeed, dependent as they may be
    (Bonferroni's inequality)."""
    return lambda n: 1 - sum(1 - power(n) for power in powers)


def largest_sd(n: int, margin: float, alpha: float, comparisons: int) -> float | None:
    """The SD up to which n seeds show that several equal arms are all equivalent to forward, with
    power 0.8 for all together; None under two seeds."""
    if n < 2:
        return None

    def short(log_sd: float) -> float:
        sd = margin * math.exp(log_sd)
        return all_equivalent_power(n, sd, margin, 0.0, alpha, comparisons) - POWER

    return float(margin * math.exp(optimize.brentq(short, -15, 10)))


@dataclass(frozen=True)
class Point:
    """Power at so many seeds: to show that every arm is equivalent to forward, where all are equal
    to it and where all differ by half the margin on one side; and to show that one arm, which is
    off by twice the margin, is different."""

    seeds: int
    equal: float
    half: float
    twice: float


@dataclass(frozen=True)
class Needed:
    """Seeds for power 0.8, None where 10,000 do not suffice; then the curve. `equal` and `half` are
    of all comparisons together, `twice` of a single one beside the others."""

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
    """Seeds needed for a margin with several strategies beside forward.

    That every one is equivalent needs each test to pass at alpha, all of them in one sweep; that
    one is different has to pass Holm's strictest level.
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
