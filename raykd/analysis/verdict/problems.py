"""Problems of a cell: missing arms, references, seeds and pairs, and what an undecided hypothesis
still needs. Nothing is filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
from raykd.analysis.stats.power import POWER
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
        if _cell(p) == cell and p.kind in ("failed", "missing") and not p.control
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
        if _cell(p) == cell and p.kind in ("failed", "missing") and p.control
    }
    return [n for n in reported if n is not None and n not in arms]


def of_cell(scores: Scores, cell: CellName, arms: ByArm) -> tuple[Problem, ...]:
    """Return the problems of this cell: those of the loader and those that its scores show."""
    task, init, shape, weight = cell
    problems = [p for p in scores.problems if _cell(p) == cell]
    reported = {p.strategy for p in problems}

    def add(kind: ProblemKind, says: str, strategy: str | None = None) -> None:
        problems.append(Problem(kind, says, task, init, shape, strategy, weight=weight))

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


def _cell(problem: Problem) -> tuple[str | None, ...]:
    return (problem.task, problem.init, problem.shape, problem.weight)


def _control(arm: Mapping[int, Score]) -> bool:
    return next(iter(arm.values())).control


def seeds(n: int) -> str:
    return "1 seed" if n == 1 else f"{n} seeds"


def missing_piece(c: Comparison | None, more: int | None, absent: Sequence[str], rule: Rule) -> str:
    """Return a clause on what an undecided hypothesis still needs."""
    if absent:
        return f"no paired score of {', '.join(absent)}, without which nothing is said of all"
    if not rule.seeded:
        return "without seeds nothing tells a difference from noise"
    if c is not None and c.sd is None and c.n > 1:
        if rule.majority is not None and c.effect == 0:
            return "both are at the majority class, where equal scores are no evidence"
        return (
            f"the difference is the same under {seeds(c.n)}, which shows no variance; write scores "
            "with more digits, or the number of test examples"
        )
    if c is not None and c.sd is None:
        return "one seed shows no variance; run at least two, better as `raykd power` says"
    if more is None:
        return "at the effect and variance seen, even 10,000 seeds would not decide it"
    return (
        f"about {seeds(more).replace(' seed', ' more seed')} would decide it, at the "
        f"effect and variance seen (power {POWER:g})"
    )
