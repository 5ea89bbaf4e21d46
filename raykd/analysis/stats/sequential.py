"""Looks at a sweep before its last seed, stated before it: what level each has, and when to stop.

Of alpha, the looks up to n of N seeds may spend alpha (n / N)^3 (Kim and DeMets 1987), and a look's
tests have the level that it adds to what the looks before it spent. The levels add up to alpha, so
that a wrong answer at any look has probability alpha at most, however the looks depend on each
other, whatever the test, and whichever look the sweep stops at. The larger levels of Lan and DeMets
(1983) need the joint distribution of the looks; with few seeds the t statistics of two looks hang
together less than normal theory has it, and those levels err (benchmarks/sequential.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy import stats
from scipy.special import ndtr

from raykd.analysis.stats.paired import Array

STEEPNESS = 3  # little is spent early, where few seeds could decide little
HOPELESS = 0.05  # a chance to be decided at the last look that is not worth its seeds
DECIDING = ("H1", "H5")
TINY = 1e-300  # how far a mean moves where every difference is the same


@dataclass(frozen=True)
class Look:
    """The look that a verdict is reached at. `looks` and `levels`: seeds an arm and alpha of each;
    `alpha` is this one's, `spent` that of all so far. `stop`: why the seeds after it are not worth
    running; None where they are, or where there are none."""

    number: int
    seeds: int
    looks: tuple[int, ...]
    levels: tuple[float, ...]
    alpha: float
    spent: float
    stop: str | None = None

    @classmethod
    def of(cls, number: int, looks: Sequence[int], alpha: float) -> Look:
        """The first is number 1; `alpha` is what all of them may spend."""
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
        """Seeds from here to the last look."""
        return self.looks[-1] - self.seeds

    @property
    def says(self) -> str:
        rest = f"; {self.stop}" if self.stop else ""
        return (
            f"Look {self.number} of {len(self.looks)}, at {self.seeds} of {self.looks[-1]} seeds: "
            f"tests and intervals have alpha {self.alpha:.2g} in place of the file's, and "
            f"{self.spent:.2g} of it is spent by now{rest}"
        )


def levels(looks: Sequence[int], alpha: float) -> tuple[float, ...]:
    """What each look may spend; together, alpha."""
    spent = [alpha * (n / looks[-1]) ** STEEPNESS for n in looks]
    return tuple(float(step) for step in np.diff(spent, prepend=0.0))


def chance(mean: Array, sd: Array, n: Array, margin: float, sides: int, look: Look) -> Array:
    """That the last look decides a claim about all comparisons of the last axis, at the effects and
    SDs seen: at most, dependent as they may be. The claim: below `margin`, and with two `sides`
    above -margin too.

    The means of the seeds to come are normal. Every comparison must pass its test for the claim,
    or one Bonferroni's against it.
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
    """What is needed of a hypothesis."""

    @property
    def id(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def chance(self) -> float | None: ...
    @property
    def withheld(self) -> bool: ...


def after(look: Look, hypotheses: Iterable[HypothesisLike]) -> Look:
    """The look with its reason to stop: of every cell, H1 and H5 are decided or will hardly be.

    To give up is not binding: it makes no answer likelier, so that no alpha is spent on it. An
    answer that missing runs withhold waits for those, which the next launch runs again, and not for
    further seeds.
    """
    deciding = [h for h in hypotheses if h.id in DECIDING]
    undecided = [h for h in deciding if h.status == "undecided" and not h.withheld]
    if not look.ahead or any(h.chance is None or h.chance >= HOPELESS for h in undecided):
        return look
    if not undecided:
        exception = ", but for runs that failed" if any(h.withheld for h in deciding) else ""
        return replace(look, stop=f"H1 and H5 are decided{exception}")
    ids = " and ".join(sorted({h.id for h in undecided}))
    return replace(
        look,
        stop=f"what is open of {ids} would be decided at {look.looks[-1]} seeds with a probability "
        f"below {HOPELESS:g}, at the effect and variance seen",
    )
