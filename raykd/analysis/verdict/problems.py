"""Problems of a cell: missing arms, references, seeds and pairs, and what an undecided hypothesis
still needs. Nothing is filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from raykd.analysis.scores.scores import (
    FORWARD,
    NONE,
    CellName,
    Problem,
    ProblemKind,
    Score,
    Scores,
    is_sampled,
)
from raykd.analysis.stats.power import POWER, all_of, sd_range, seeds_for
from raykd.analysis.verdict.compare import Rule
from raykd.analysis.verdict.verdict import Comparison

ByArm = Mapping[str, Mapping[int, Score]]


def absent_arms(scores: Scores, cell: CellName, arms: ByArm) -> list[str]:
    """Return the strategies under test that have no score in this cell: those that the loader
    reported, and those that other cells of this shape have. Absent controls and sampled maps do not
    count, since they do not affect claims about the strategies."""
    reported = [
        p.strategy
        for p in scores.problems
        if p.cell == cell and p.kind in ("failed", "missing") and not p.control
    ]
    here = (s for s in scores.items if scores.seeded and s.shape == cell[2])
    elsewhere = [s.strategy for s in here if not s.control]
    return [
        n
        for n in dict.fromkeys([*reported, *elsewhere])
        if n is not None and n != NONE and n not in arms and not is_sampled(n)
    ]


def absent_controls(scores: Scores, cell: CellName, arms: ByArm) -> list[str]:
    """Return the controls without a score that the loader reported as failed or not finished."""
    reported = {
        p.strategy: None
        for p in scores.problems
        if p.cell == cell and p.kind in ("failed", "missing") and p.control
    }
    return [n for n in reported if n is not None and n not in arms]


def of_cell(scores: Scores, cell: CellName, arms: ByArm) -> tuple[Problem, ...]:
    """Return the problems of this cell: those of the loader and those that its scores show."""
    task, init, shape, weight, schedule = cell
    problems = [p for p in scores.problems if p.cell == cell]
    reported = {p.strategy for p in problems}

    def add(kind: ProblemKind, says: str, strategy: str | None = None) -> None:
        problems.append(
            Problem(kind, says, task, init, shape, strategy, weight=weight, schedule=schedule)
        )

    for other in dict.fromkeys(s.strategy for s in scores.items):
        if other not in arms and other not in reported:
            add("missing", f"{other} has no score here, though it has elsewhere", other)
    for reference, needed in ((FORWARD, "H1 and H5"), (NONE, "H2 and H3")):
        if reference not in arms:
            add("no_reference", f"there is no {reference}, so {needed} cannot be judged", reference)
    if not scores.seeded:
        add("no_seeds", "no seeds are stated: one score an arm, no variance")
        return tuple(problems)
    reference_arm = arms.get(FORWARD) or arms.get(NONE) or {}
    for name, arm in arms.items():
        # A control may have fewer seeds by plan; missing planned seeds are reported by the loader.
        unshared = (
            arm.keys() - reference_arm.keys()
            if _control(arm)
            else arm.keys() ^ reference_arm.keys()
        )
        if unpaired := sorted(unshared):
            baseline = FORWARD if FORWARD in arms else NONE
            listed = ", ".join(map(str, unpaired[:8])) + (", ..." if len(unpaired) > 8 else "")
            add("unpaired", f"{name} and {baseline} do not share the seeds {listed}", name)
        if reference_arm and len(arm.keys() & reference_arm.keys()) < 2:
            add("few_seeds", f"{name} shares fewer than two seeds with its reference", name)
    return tuple(problems)


def _control(arm: Mapping[int, Score]) -> bool:
    return next(iter(arm.values())).control


def seeds(n: int) -> str:
    return "1 seed" if n == 1 else f"{n} seeds"


class Claim(Protocol):
    """What `more_seeds` reads of a claim (equivalence.py)."""

    @property
    def opposite(self) -> Callable[[float], float]: ...
    @property
    def power_for(self) -> Callable[[int, float, float, float], float]: ...
    @property
    def power_against(self) -> Callable[[int, float, float, float], float]: ...


SdOf = Callable[[float, int], float]
"""(observed SD, number of differences) -> the SD to assume"""


@dataclass(frozen=True)
class MoreSeeds:
    """Further seeds that would decide a claim. `range`: at the ends of the 80 % intervals of the
    SDs. None for no such number."""

    count: int | None = None
    range: tuple[int, int | None] | None = None

    @classmethod
    def of(cls, seeds_at: Callable[[SdOf], int | None]) -> MoreSeeds:
        """Return the advice from a function of the SDs to assume."""
        if (count := seeds_at(lambda sd, _: sd)) is None:
            return cls()
        low = seeds_at(lambda sd, n: sd_range(sd, n)[0])
        return cls(
            count, (count if low is None else low, seeds_at(lambda sd, n: sd_range(sd, n)[1]))
        )


def more_seeds(
    claim: Claim,
    pairs: Sequence[Comparison],
    alpha: float,
    sd_of: SdOf = lambda sd, _: sd,
) -> int | None:
    """Return the further seeds that would decide the claim at the observed effects and SDs, with
    power 0.8: by the clearest comparison on the opposite's side if there is one, else by all
    together. None if a comparison has no SD yet or if 10,000 seeds would not suffice. `sd_of`: the
    SD to assume instead, by the observed one and its number of differences."""
    level = alpha / len(
        pairs
    )  # for "some comparison is beyond"; a claim about every one needs no correction
    estimates = [(c.effect, sd_of(c.sd, c.n)) for c in pairs if c.sd is not None]
    if len(estimates) < len(pairs):
        return None
    opposite = [(effect, sd) for effect, sd in estimates if claim.opposite(effect) > 0]
    if opposite:
        counts = [
            seeds_for(lambda n, e=effect, s=sd: claim.power_against(n, s, e, level))  # type: ignore[misc]
            for effect, sd in opposite
        ]
        total = min((n for n in counts if n is not None), default=None)
    else:
        powers = [
            lambda n, e=effect, s=sd: claim.power_for(n, s, e, alpha) for effect, sd in estimates
        ]
        total = seeds_for(all_of(powers))
    return None if total is None else max(1, total - min(c.n for c in pairs))


def seed_advice(claim: Claim, pairs: Sequence[Comparison], rule: Rule) -> MoreSeeds:
    """Return the further seeds that would decide the claim."""
    alpha = rule.later or rule.alpha
    return MoreSeeds.of(lambda sd_of: more_seeds(claim, pairs, alpha, sd_of))


def missing_piece(c: Comparison | None, more: MoreSeeds, absent: Sequence[str], rule: Rule) -> str:
    """Return a clause on what an undecided hypothesis still needs."""
    if absent:
        return f"no paired score of {', '.join(absent)}, without which nothing is said of all"
    if not rule.seeded:
        return "without seeds nothing tells a difference from noise"
    if c is not None and c.sd is None and c.n > 1:
        if rule.majority is not None and c.effect == 0:
            return f"both are at the {rule.constant}, where equal scores are no evidence"
        return (
            f"the difference is the same under {seeds(c.n)}, which shows no variance; write scores "
            "with more digits, or the number of test examples"
        )
    if c is not None and c.sd is None:
        return "one seed shows no variance; run at least two, better as `raykd power` says"
    if more.count is None or more.range is None:
        return "at the effect and variance seen, even 10,000 seeds would not decide it"
    low, high = more.range
    extent = f"{low} to {high}" if high is not None else f"{low} to over 10,000"
    return (
        f"about {seeds(more.count).replace(' seed', ' more seed')} ({extent}, by the SD's 80 % "
        f"interval) would decide it, at the effect and variance seen (power {POWER:g})"
    )
