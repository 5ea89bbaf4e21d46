"""Seeds that are added after a judgement: an extension stated before the sweep, or a second
judgement.

A verdict at its stated seeds has all of alpha, which leaves nothing for a later one. Judged again
at all of alpha once seeds were added, a sweep errs more often (benchmarks/extended.py). If the
sweep file states the extension, the first judgement has 0.8 of alpha. The second combines the
p-values of the first seeds and of the added ones by their normal quantiles with equal weights
(Bauer and Koehne 1994; Lehmacher and Wassmer 1999). The added seeds are new data, so given the
first ones their p-value is uniform under the null hypothesis however many they are. The combined
statistic therefore has a known joint distribution with the first, and both together err with
probability alpha at most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from scipy import optimize
from scipy.special import ndtr, ndtri

from raykd.analysis.stats import paired
from raykd.analysis.stats.paired import Array

FIRST = 0.8
"""Share of alpha that the first judgement has if the sweep file states an extension."""
JOINT = {2: 0.10, 3: 0.13}
"""Simulated error rate of so many judgements together, each at alpha 0.05 and each over all seeds
so far (benchmarks/extended.py)."""
AT = 0.05
REACH = 8.0  # normal quantiles; probabilities beyond are negligible
NODES, WEIGHTS = np.polynomial.legendre.leggauss(100)


@dataclass(frozen=True)
class Judgement:
    """Which judgement of its sweep a verdict is, if seeds were added to a final verdict or may be.
    `seeds`: those of each stage, in order. `extend`: whether the sweep file stated the extension
    before the first trial. `error`: the error rate of all judgements together: alpha if it is
    kept, else simulated; None if so many were not simulated."""

    number: int
    seeds: tuple[tuple[int, ...], ...]
    extend: bool
    error: float | None

    @classmethod
    def of(cls, seeds: Sequence[Sequence[int]], extend: bool, alpha: float) -> Judgement | None:
        """Return the judgement after these stages; None for the only one of a sweep."""
        stages = tuple(tuple(sorted(stage)) for stage in seeds)
        number = max(1, len(stages))
        if extend and number <= 2:
            return cls(number, stages, True, alpha)
        if number < 2:
            return None
        joint = JOINT.get(number)
        error = None if joint is None or extend else round(joint / AT * alpha, 3)
        return cls(number, stages, extend, error)

    @property
    def combined(self) -> bool:
        """Whether the stages are combined so that alpha is kept."""
        return self.extend and self.number == 2

    def level(self, alpha: float) -> float:
        """Return the alpha of the tests and intervals."""
        return FIRST * alpha if self.extend and self.number == 1 else alpha

    def says(self, alpha: float) -> str:
        """Return a sentence without a full stop."""
        counts = [len(stage) for stage in self.seeds]
        if self.extend and self.number == 1:
            return (
                f"First judgement of a sweep that may be extended (`confirm.extend`): it has "
                f"{FIRST * alpha:.2g} of alpha {alpha:.2g}, the rest is for seeds added later"
            )
        if self.combined:
            return (
                f"Extended judgement, as stated before the sweep: {counts[1]} seeds were added to "
                f"{counts[0]}, and both together keep alpha {alpha:.2g}; H3, H6 and variance "
                f"shares are not extended: H3 and H6 have the answer of the first {counts[0]} seeds"
            )
        ordinal = {2: "Second", 3: "Third"}.get(self.number, f"{self.number}th")
        numbers = " and ".join(map(str, counts[1:]))
        added = "1 seed was" if counts[1:] == [1] else f"{numbers} seeds were"
        rate = (
            f"about {self.error:.2g}" if self.error is not None else "more than was simulated for"
        )
        return (
            f"{ordinal} judgement: {added} added to a final verdict over {counts[0]}, "
            f"whose error rate was {alpha:.2g}; that of all {self.number} judgements together is "
            f"{rate}"
        )


class Stage(Protocol):
    """Mean, SD and number of paired differences."""

    @property
    def effect(self) -> float: ...
    @property
    def sd(self) -> float: ...
    @property
    def n(self) -> int: ...


class CaseLike(Stage, Protocol):
    """The differences of a comparison, in stages if these are combined."""

    @property
    def stages(self) -> Sequence[Stage]: ...


def combined(first: Array, second: Array) -> Array:
    """Return p-values of both judgements: rejecting where they are at most any alpha, or where
    `first` was at most 0.8 of it, errs with probability alpha at most.

    first, second: one-sided p-values of the first seeds and of the added ones."""
    z = -(_quantile(first) + _quantile(second)) / np.sqrt(2)
    return ndtr(-_spent()(np.clip(z, -REACH + 0.1, REACH - 0.1)))


def _quantile(p: Array) -> Array:
    return ndtri(np.clip(p, ndtr(-REACH), 1 - 1e-15))


@cache
def _spent() -> Callable[[Array], Array]:
    """Return the function from the combined statistic to the normal quantile of the alpha at which
    it is just significant: P(first p <= 0.8 alpha or statistic >= z) = alpha."""

    def passed_later(z: float, alpha: float) -> float:
        """P(first p > 0.8 alpha and statistic >= z)."""
        end = -ndtri(FIRST * alpha)
        half = (end + REACH) / 2
        x = half * (NODES + 1) - REACH
        density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
        return float(half * np.sum(WEIGHTS * density * ndtr(x - np.sqrt(2) * z)))

    from scipy.interpolate import PchipInterpolator  # takes a while to import

    quantiles = np.linspace(-3.0, 7.0, 101)
    bounds = [
        optimize.brentq(
            lambda z, a=alpha: passed_later(z, a) / ((1 - FIRST) * a) - 1, -REACH - 3, REACH + 3
        )
        for alpha in ndtr(-quantiles)
    ]
    spent: Callable[[Array], Array] = PchipInterpolator(bounds, quantiles, extrapolate=True)
    return spent


def later_level(alpha: float) -> float:
    """Return the level of the combined p-value at which an extended judgement rejects."""
    quantile, spent = -ndtri(alpha), _spent()
    return float(ndtr(-optimize.brentq(lambda z: float(spent(z)) - quantile, -3.0, REACH)))


def above(case: CaseLike, bound: float) -> float:
    """Return the one-sided p-value for: the true difference is above `bound`."""
    return _p_value(case, lambda s: paired.p_above(s.effect, s.sd, s.n, bound))


def below(case: CaseLike, bound: float) -> float:
    """Return the one-sided p-value for: the true difference is below `bound`."""
    return _p_value(case, lambda s: paired.p_below(s.effect, s.sd, s.n, bound))


def _p_value(case: CaseLike, one_sided: Callable[[Stage], Array]) -> float:
    """Return the p-value of a case. A control that was not extended has the first seeds only, whose
    share of alpha is 0.8."""
    if not case.stages:
        return float(one_sided(case))
    first, *added = [float(one_sided(s)) for s in case.stages if s.n]
    return float(combined(first, *added)) if added else min(1.0, first / FIRST)


def within(case: CaseLike, margin: float) -> float:
    """Return the p-value of TOST, as `paired.p_tost`."""
    return max(below(case, margin), above(case, -margin))


def beyond(case: CaseLike, margin: float) -> float:
    """Return the p-value for a difference beyond the margin, as `paired.p_beyond`."""
    return min(1.0, 2 * min(above(case, margin), below(case, -margin)))


def interval(case: CaseLike, level: float) -> tuple[float, float]:
    """Return the interval that the tests of a case do not reject, at a confidence level."""
    if not case.stages:
        low, high = paired.interval(case.effect, case.sd, case.n, level)
        return float(low), float(high)
    alpha = (1 - level) / 2
    means = [s.effect for s in case.stages if s.n]
    errors = [s.sd / np.sqrt(s.n) for s in case.stages if s.n]
    reach = max(means) - min(means) + max(errors)
    if reach == 0:
        return means[0], means[0]
    while above(case, min(means) - reach) > alpha or below(case, max(means) + reach) > alpha:
        reach *= 2
    low = optimize.brentq(lambda b: above(case, b) - alpha, min(means) - reach, max(means) + reach)
    high = optimize.brentq(lambda b: below(case, b) - alpha, min(means) - reach, max(means) + reach)
    return float(low), float(high)
