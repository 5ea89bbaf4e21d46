"""Interim analyses ("looks") at seed counts stated before the sweep: levels and stopping.

The looks up to n of N seeds may spend alpha (n / N)^3 (Kim and DeMets 1987). The tests of a look
have the level that it adds to the alpha spent by earlier looks. The levels add up to alpha, so the
probability of a wrong answer at any look is at most alpha, whatever the test, the dependence of the
looks and the stopping rule. The larger levels of Lan and DeMets (1983) need the joint distribution
of the looks. With few seeds the t statistics of two looks are less correlated than normal theory
predicts, and those levels exceed alpha (benchmarks/sequential.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy import stats
from scipy.special import ndtr

from raykd.analysis.stats.paired import Array

STEEPNESS = 3  # spends little alpha early, when few seeds can decide little
HOPELESS = 0.05  # chance of a decision at the last look below which more seeds are not worth it
DECIDING = ("H1", "H5")
TINY = 1e-300  # avoids a division by zero if all differences are equal


@dataclass(frozen=True)
class Look:
    """The interim analysis at which a verdict is reached. `looks` and `levels`: seeds per arm and
    alpha of each analysis. `alpha`: level of this analysis. `spent`: alpha of all analyses so far.
    `stop`: why further seeds are not worth running; None if they are, or if there are none."""

    number: int
    seeds: int
    looks: tuple[int, ...]
    levels: tuple[float, ...]
    alpha: float
    spent: float
    stop: str | None = None

    @classmethod
    def of(cls, number: int, looks: Sequence[int], alpha: float) -> Look:
        """Return the analysis with a 1-based number; `alpha` is the total of all of them."""
        per_look = levels(looks, alpha)
        return cls(
            number,
            looks[number - 1],
            tuple(looks),
            per_look,
            per_look[number - 1],
            sum(per_look[:number]),
        )

    @property
    def ahead(self) -> int:
        """Number of seeds from this look to the last one."""
        return self.looks[-1] - self.seeds

    @property
    def says(self) -> str:
        rest = f"; {self.stop}" if self.stop else ""
        return (
            f"Analysis {self.number} of {len(self.looks)}, at {self.seeds} of {self.looks[-1]} "
            f"seeds: tests and intervals have alpha {self.alpha:.2g} in place of the file's, and "
            f"{self.spent:.2g} of it is spent by now{rest}"
        )


def levels(looks: Sequence[int], alpha: float) -> tuple[float, ...]:
    """Return the level of each look; the levels add up to alpha."""
    spent = [alpha * (n / looks[-1]) ** STEEPNESS for n in looks]
    return tuple(float(step) for step in np.diff(spent, prepend=0.0))


def chance(mean: Array, sd: Array, n: Array, margin: float, sides: int, look: Look) -> Array:
    """Return an upper bound on the probability that the last look decides a claim about all
    comparisons of the last axis, at the observed effects and SDs, whatever their dependence. The
    claim: below `margin`, and with two `sides` also above -margin.

    The means of the remaining seeds are taken as normal. To decide, every comparison must pass its
    test for the claim, or one comparison the Bonferroni-corrected test against it.
    """
    mean, sd, last = np.asarray(mean, dtype=float), np.asarray(sd, dtype=float), look.levels[-1]
    total = np.asarray(n) + look.ahead
    error, moves = sd / np.sqrt(total), np.maximum(sd * np.sqrt(look.ahead) / total, TINY)
    shares = last / sides / mean.shape[-1]
    inner = margin - stats.t.isf(last, total - 1) * error
    outer = margin + stats.t.isf(shares, total - 1) * error
    shown = ndtr((inner - mean) / moves)
    refuted = ndtr((mean - outer) / moves)
    if sides == 2:
        shown = np.maximum(0.0, shown - ndtr((-inner - mean) / moves))
        refuted = refuted + ndtr((-outer - mean) / moves)
    return np.minimum(1.0, shown.min(axis=-1) + refuted.sum(axis=-1))


class HypothesisLike(Protocol):
    """The attributes of a hypothesis that `after` reads."""

    @property
    def id(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def chance(self) -> float | None: ...
    @property
    def withheld(self) -> bool: ...


def after(look: Look, hypotheses: Iterable[HypothesisLike]) -> Look:
    """Return the look with a reason to stop, if H1 and H5 of every cell, and all claims of the
    sweep file, are decided or have hardly a chance to be.

    Stopping for futility is not binding and makes no answer more likely, so it spends no alpha. A
    hypothesis withheld for missing runs needs these runs, which the next launch repeats, and not
    further seeds.
    """
    deciding = [h for h in hypotheses if h.id in DECIDING or h.id.startswith("C")]
    claims = any(h.id not in DECIDING for h in deciding)
    undecided = [h for h in deciding if h.status == "undecided" and not h.withheld]
    if not look.ahead or any(h.chance is None or h.chance >= HOPELESS for h in undecided):
        return look
    if not undecided:
        exception = ", but for runs that failed" if any(h.withheld for h in deciding) else ""
        decided = "H1, H5 and the claims" if claims else "H1 and H5"
        return replace(look, stop=f"{decided} are decided{exception}")
    ids = " and ".join(sorted({h.id for h in undecided}))
    return replace(
        look,
        stop=f"what is open of {ids} would be decided at {look.looks[-1]} seeds with a probability "
        f"below {HOPELESS:g}, at the effect and variance seen",
    )
