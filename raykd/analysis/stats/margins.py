"""What the same seeds say beyond one margin: a bound, a curve over margins, three probabilities,
and what a larger test set would save. None of these decides a hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from raykd.analysis.stats.paired import Array

POINTS = 25  # of the curve over margins
REACH = 1.5  # the curve ends at this multiple of the bound or the margin, whichever is larger


@dataclass(frozen=True)
class Probabilities:
    """Posterior probabilities of the true difference under a flat prior: below minus the margin,
    within the margin, and above it."""

    worse: float
    equivalent: float
    better: float


@dataclass(frozen=True)
class LargestDifference:
    """`bound`: upper bound of the largest true difference to forward, of whichever strategy and on
    either side, at `level`. `curve`: (margin, p-value of "every strategy is equivalent"). H1 would
    be supported at every margin above the bound, and at no smaller one."""

    bound: float
    level: float
    strategy: str
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class LargerTest:
    """What a test set twice as large would save. `sd`: of a paired difference, root mean square
    over the comparisons; `doubled`: the same with twice as many examples; `seeds`: seeds that are
    as good on the larger set as `of` seeds are on this one."""

    sd: float
    doubled: float
    seeds: int
    of: int


def probabilities(mean: float, sd: float, n: int, margin: float) -> Probabilities:
    """Return the probabilities from the t distribution of the mean of n paired differences."""
    if sd == 0:
        return Probabilities(
            float(mean < -margin), float(abs(mean) <= margin), float(mean > margin)
        )
    posterior = stats.t(n - 1, loc=mean, scale=sd / np.sqrt(n))
    worse, better = float(posterior.cdf(-margin)), float(posterior.sf(margin))
    return Probabilities(worse, max(0.0, 1 - worse - better), better)


def largest_difference(
    intervals: dict[str, tuple[float, float]],
    p_value: Callable[[float], float],
    margin: float,
    level: float,
) -> LargestDifference:
    """Invert the test of "every strategy is equivalent" (Berger 1982): it holds at a margin exactly
    if each interval lies within it, so the outermost bound of any interval is the bound.

    `intervals` are two-sided, by strategy, at the level 1 - 2 alpha, where `level` is 1 - alpha.
    """
    outermost = {name: max(abs(low), abs(high)) for name, (low, high) in intervals.items()}
    strategy = max(outermost, key=outermost.__getitem__)
    bound = outermost[strategy]
    margins = np.linspace(0, REACH * max(bound, margin), POINTS)[1:]
    curve = tuple((float(m), float(p_value(float(m)))) for m in margins)
    return LargestDifference(bound, level, strategy, curve)


def larger_test(differences: Sequence[Array]) -> LargerTest | None:
    """Return what a doubled test set would save, from the differences in correctness of each
    comparison, in the units of the score: [seeds, examples]. None without two seeds and examples,
    or where differences do not vary.

    The variance of a seed's difference is that of the seed plus that of its answers to single
    examples, divided by the number of examples. Only the second part shrinks. It is estimated from
    the residuals of seeds and examples, so noise that all seeds share is not counted.
    """
    whole, single, seeds = [], [], []
    for d in differences:
        d = np.asarray(d, dtype=float)
        n, examples = d.shape
        if n < 2 or examples < 2:
            continue
        residuals = d - d.mean(1, keepdims=True) - d.mean(0, keepdims=True) + d.mean()
        variance = float((residuals**2).sum() / ((n - 1) * (examples - 1)))
        whole.append(float(d.mean(1).var(ddof=1)))
        single.append(variance / examples)
        seeds.append(n)
    if not whole or sum(whole) == 0:
        return None
    total = float(np.mean(whole))
    doubled = max(total - float(np.mean(single)) / 2, 0.0)
    of = min(seeds)
    return LargerTest(
        float(np.sqrt(total)), float(np.sqrt(doubled)), max(2, round(of * doubled / total)), of
    )
