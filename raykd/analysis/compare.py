"""Paired comparisons of one cell: every strategy to forward, to none, and to its controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raykd.analysis.examples import mcnemar, two_level
from raykd.analysis.holm import holm
from raykd.analysis.looks import Look
from raykd.analysis.scores import Score
from raykd.analysis.tost import interval, p_above, p_below, p_beyond, p_tost, summary
from raykd.analysis.verdict import Comparison, Finding

Arm = Mapping[int, Score]
"""One strategy's scores, by seed."""


@dataclass(frozen=True)
class Rule:
    """What a cell is judged by. `sign` is -1 where smaller scores are better; `alpha` is the look's
    where the sweep has looks."""

    margin: float
    alpha: float
    sign: int = 1
    resolution: float = 0.0
    seeded: bool = True
    look: Look | None = None


def to_forward(arms: Mapping[str, Arm], forward: Arm, rule: Rule) -> tuple[Comparison, ...]:
    """Each to forward: equivalent, different or undecided at the margin."""
    found = [_pair(name, arm, "forward", forward, rule) for name, arm in arms.items()]
    p_for = _p_values(found, lambda m, s, n: p_tost(m, s, n, rule.margin))
    p_against = _p_values(found, lambda m, s, n: p_beyond(m, s, n, rule.margin))
    return tuple(
        c if c.sd is None else replace(
            c, finding=_finding(a[1], b[1], "equivalent", "different", rule.alpha),
            p_tost=a[0], p_tost_holm=a[1], p_beyond=b[0], p_beyond_holm=b[1],
        )
        for c, a, b in zip(found, p_for, p_against, strict=True)
    )  # fmt: skip


def to_reference(pairs: Sequence[tuple[str, Arm, str, Arm]], rule: Rule) -> tuple[Comparison, ...]:
    """Each (name, arm) to its own (reference, arm): better, worse or undecided."""
    found = [_pair(*pair, rule) for pair in pairs]
    p_for = _p_values(found, lambda m, s, n: p_above(m, s, n, 0.0))
    p_against = _p_values(found, lambda m, s, n: p_below(m, s, n, 0.0))
    return tuple(
        c if c.sd is None else replace(
            c, finding=_finding(a[1], b[1], "better", "worse", rule.alpha),
            p_better=a[0], p_better_holm=a[1], p_worse=b[0], p_worse_holm=b[1],
        )
        for c, a, b in zip(found, p_for, p_against, strict=True)
    )  # fmt: skip


def _finding(p_for: float, p_against: float, yes: Finding, no: Finding, alpha: float) -> Finding:
    return yes if p_for <= alpha else no if p_against <= alpha else "undecided"


def _p_values(
    found: Sequence[Comparison], test: Callable[[float, float, int], float]
) -> list[tuple[float, float]]:
    """(p, Holm-adjusted p) each; a comparison without variance shows nothing, and counts."""
    if not found:
        return []
    p = np.array([1.0 if c.sd is None else test(c.effect, c.sd, c.n) for c in found])
    return [(float(a), float(b)) for a, b in zip(p, holm(p), strict=True)]


def _pair(name: str, arm: Arm, reference: str, base: Arm, rule: Rule) -> Comparison:
    seeds = tuple(sorted(arm.keys() & base.keys()))
    d = np.array([rule.sign * (arm[s].score - base[s].score) for s in seeds])
    level = 1 - 2 * rule.alpha
    effect, sd, bounds = float(d.mean()) if len(d) else float("nan"), None, None
    if len(d) > 1:
        mean, spread = summary(d, rule.resolution)
        low, high = interval(mean, spread, len(d), level)
        sd, bounds = float(spread), (float(low), float(high))
    known = [s for s in seeds if _aligned(arm[s], base[s])]
    population = None
    counted = [s for s in known if arm[s].correct.dtype == bool]  # type: ignore[union-attr]
    means = bool(known) and (not counted or arm[known[0]].metric == "accuracy")
    if len(known) == len(seeds) > 1 and means and _one_set(arm, seeds):
        population = two_level(
            [arm[s].correct for s in seeds], [base[s].correct for s in seeds], level
        )
    return Comparison(
        strategy=name,
        reference=reference,
        finding="undecided",
        effect=effect,
        sd=sd,
        interval=bounds,
        level=level,
        n=len(seeds),
        seeds=seeds,
        differences=tuple(map(float, d)),
        population=population,
        mcnemar=tuple(mcnemar(s, arm[s].correct, base[s].correct) for s in counted),
    )


def _aligned(a: Score, b: Score) -> bool:
    """Whether both say of the same test examples, in the same order, which are right."""
    if a.ids is None or b.ids is None:
        return False
    return np.array_equal(a.ids, b.ids)


def _one_set(arm: Arm, seeds: Sequence[int]) -> bool:
    return all(_aligned(arm[seeds[0]], arm[s]) for s in seeds[1:])


def matrix(arms: Sequence[Arm], sign: int) -> tuple[tuple[int, ...], np.ndarray]:
    """The seeds that all arms have, and their scores [seeds, arms]; larger is better."""
    if not arms:
        return (), np.zeros((0, 0))
    seeds = tuple(sorted(set.intersection(*(set(arm) for arm in arms))))
    return seeds, np.array([[sign * arm[s].score for arm in arms] for s in seeds]).reshape(
        len(seeds), len(arms)
    )
