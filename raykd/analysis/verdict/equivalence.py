"""H1, H2 and H5 of a cell: claims about every one of several comparisons.

H1: every strategy is equivalent to forward. H2: every strategy beats no matching. H5: no strategy
beats forward by more than the margin. H3, a claim about a ratio, is in `spread.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from raykd.analysis.digits import Digits, estimate
from raykd.analysis.scores.scores import CellName
from raykd.analysis.stats import paired, stages
from raykd.analysis.stats.margins import LargestDifference, largest_difference
from raykd.analysis.stats.power import (
    above_power,
    beyond_power,
    tost_power,
)
from raykd.analysis.stats.sequential import DECIDING, chance
from raykd.analysis.verdict.compare import (
    Cases,
    Rule,
    Test,
    as_seen,
    bounds,
    every_case,
    opposing,
    p_value,
    supporting,
)
from raykd.analysis.verdict.problems import MoreSeeds, missing_piece, seed_advice, seeds
from raykd.analysis.verdict.verdict import Comparison, Hypothesis, Status

Power = Callable[[int, float, float, float], float]
"""(n, sd, effect, alpha) -> power"""


@dataclass(frozen=True)
class Claim:
    """A claim about each comparison, its opposite, and the bound between the two.

    `sides` is 2 if the opposite lies on both sides, each of which then has half of alpha.
    """

    id: str
    margin: float
    sides: int
    test_for: Test
    test_against: Test
    power_for: Power
    power_against: Power
    opposite: Callable[[float], float]
    """Distance of an effect from the bound, positive on the side of the opposite."""


def equivalent(margin: float) -> Claim:
    return Claim(
        id="H1",
        margin=margin,
        sides=2,
        test_for=lambda case: stages.within(case, margin),
        test_against=lambda case: stages.beyond(case, margin),
        power_for=lambda n, sd, effect, alpha: tost_power(n, sd, margin, effect, alpha),
        power_against=lambda n, sd, effect, alpha: beyond_power(n, sd, margin, effect, alpha),
        opposite=lambda effect: abs(effect) - margin,
    )


def better(margin: float = 0.0) -> Claim:
    return Claim(
        id="H2",
        margin=margin,
        sides=1,
        test_for=lambda case: stages.above(case, margin),
        test_against=lambda case: stages.below(case, margin),
        power_for=lambda n, sd, effect, alpha: above_power(n, sd, margin, effect, alpha),
        power_against=lambda n, sd, effect, alpha: above_power(n, sd, -margin, -effect, alpha),
        opposite=lambda effect: margin - effect,
    )


def not_beaten(margin: float) -> Claim:
    return Claim(
        id="H5",
        margin=margin,
        sides=1,
        test_for=lambda case: stages.below(case, margin),
        test_against=lambda case: stages.above(case, margin),
        power_for=lambda n, sd, effect, alpha: above_power(n, sd, -margin, -effect, alpha),
        power_against=lambda n, sd, effect, alpha: above_power(n, sd, margin, effect, alpha),
        opposite=lambda effect: effect - margin,
    )


@dataclass(frozen=True)
class Decision:
    """A status with the comparison that decides it, or that prevents a decision. `withheld`: the
    status by the finished runs alone, if the missing runs could change it."""

    status: Status
    comparison: Comparison
    interval: tuple[float, float] | None
    level: float
    withheld: Status | None = None


def decide(claim: Claim, pairs: Sequence[Comparison], alpha: float, complete: bool) -> Decision:
    """Judge a claim; `complete` is false if an expected arm has no score at all.

    The interval has the level at which the status was reached, so it lies inside the bound if the
    claim is supported, wholly beyond it if contradicted, and across it if undecided. The level is
    1 - 2 alpha if every comparison passes its own test, otherwise Bonferroni's, which is that of
    Holm's first step.
    """
    p_for, p_against = _p_values(claim, pairs, supporting, opposing)
    supported, contradicted = paired.claim(p_for, p_against, alpha)
    level = 1 - 2 * alpha / claim.sides / len(pairs)
    if contradicted:
        c = pairs[int(p_against.argmin())]
        return Decision("contradicted", c, bounds(c, level, opposing), level)
    # With equal p-values, as without variance, the effect decides which comparison is the worst.
    c = pairs[max(range(len(pairs)), key=lambda i: (p_for[i], claim.opposite(pairs[i].effect)))]
    if supported and complete:
        return Decision("supported", c, bounds(c, 1 - 2 * alpha, supporting), 1 - 2 * alpha)
    finished_only = paired.claim(*_p_values(claim, pairs, as_seen, as_seen), alpha)
    withheld: Status | None = "contradicted" if finished_only[1] else None
    if finished_only[0] and complete:
        withheld = "supported"
    if withheld == "contradicted":
        c = pairs[int(_p_values(claim, pairs, as_seen, as_seen)[1].argmin())]
    return Decision("undecided", c, bounds(c, level, every_case), level, withheld)


def _p_values(
    claim: Claim, pairs: Sequence[Comparison], for_: Cases, against: Cases
) -> tuple[paired.Array, paired.Array]:
    """Return the p-values of the claim and of its opposite, each the largest over its cases."""
    return (
        np.array([p_value(c, claim.test_for, for_) for c in pairs]),
        np.array([p_value(c, claim.test_against, against) for c in pairs]),
    )


def judge(
    claim: Claim,
    pairs: Sequence[Comparison],
    rule: Rule,
    cell: CellName,
    absent: Sequence[str],
) -> Hypothesis:
    """Return a hypothesis of one cell from its comparisons, at least one. `absent`: expected arms
    without a score."""
    decision = decide(claim, pairs, rule.alpha, not absent)
    further = MoreSeeds()
    if decision.status == "undecided" and not absent and not decision.withheld:
        further = seed_advice(claim, pairs, rule)
    last_chance = None
    if decision.status == "undecided" and claim.id in DECIDING:
        last_chance = _last_look_chance(claim, pairs, rule)
    return Hypothesis(
        claim.id, *cell, decision.status,
        effect=decision.comparison.effect,
        interval=decision.interval,
        level=decision.level if decision.interval else None,
        n=decision.comparison.n,
        margin=claim.margin,
        more_seeds=further.count,
        more_seeds_range=further.range,
        strategy=decision.comparison.strategy,
        says=_says(claim, decision, pairs, further, absent, rule),
        chance=last_chance,
        missing=sum(len(c.missing.seeds) for c in pairs if c.missing),
        withheld=decision.withheld is not None,
    )  # fmt: skip


def _last_look_chance(claim: Claim, pairs: Sequence[Comparison], rule: Rule) -> float | None:
    """Return the chance that the last look decides: None if no look remains, 1 without an SD."""
    if rule.look is None or not rule.look.ahead:
        return None
    estimates = [(c.effect, c.sd, c.n) for c in pairs if c.sd is not None]
    if len(estimates) < len(pairs):
        return 1.0
    effects, sds, counts = np.array(estimates).T
    return float(chance(effects, sds, counts, claim.margin, claim.sides, rule.look))


def _says(
    claim: Claim,
    decision: Decision,
    pairs: Sequence[Comparison],
    further: MoreSeeds,
    absent: Sequence[str],
    rule: Rule,
) -> str:
    c, m = decision.comparison, len(pairs)
    subject = f"all {m} strategies are" if m > 1 else f"{c.strategy} is"
    runs = f"over {seeds(c.n)}" if rule.seeded else "in one run"
    gap = estimate(
        rule.margin, c.effect, decision.interval, f", {100 * decision.level:.3g} % interval"
    )
    evidence = f"{c.strategy} {gap} {runs}{_lacking(c)}"
    bound = f"{claim.margin:.4g}"
    if decision.withheld is not None:
        verb = {"supported": "support", "contradicted": "contradict"}[decision.withheld]
        return (
            f"withheld: the finished runs alone would {verb} it, the missing ones could undo "
            f"that: {evidence}; run what is missing"
        )
    lost = sum(len(other.missing.seeds) for other in pairs if other.missing)
    if lost and c.missing is None:
        evidence += f", {lost} missing runs of other strategies at their worst"
    if decision.status == "supported":
        return {
            "H1": f"{subject} within {bound} of forward; the least clear is {evidence}",
            "H2": f"{subject} better than no matching; the least clear is {evidence}",
            "H5": f"forward is not beaten by more than {bound}; the closest is {evidence}",
        }[claim.id]
    if decision.status == "contradicted":
        return {
            "H1": f"differs from forward by more than {bound}: {evidence}",
            "H2": f"worse than no matching: {evidence}",
            "H5": f"beats forward by more than {bound}: {evidence}",
        }[claim.id]
    piece = missing_piece(c, further, absent, rule)
    if claim.id == "H1" and not rule.seeded and not absent:
        sd = abs(c.effect) / 1.96
        piece += (
            f"; equal arms would show as much in one case of twenty if the SD of a paired "
            f"difference were {Digits.of(rule.margin, sd).plain(sd)}"
        )
    return f"{_open(claim, evidence)}; {piece}"


def _open(claim: Claim, evidence: str) -> str:
    return {
        "H1": f"neither within {claim.margin:.4g} of forward nor beyond it is shown: {evidence}",
        "H2": f"neither better nor worse than no matching is shown: {evidence}",
        "H5": f"neither beaten by more than {claim.margin:.4g} nor not is shown: {evidence}",
    }[claim.id]


def _lacking(c: Comparison) -> str:
    """Return a clause on the missing pairs and how they are treated."""
    if c.missing is None:
        return ""
    lost = len(c.missing.seeds)
    return (
        f", the interval with {lost} of {lost + c.n} missing, at the worst and the best score seen"
    )


def largest(pairs: Sequence[Comparison], margin: float, alpha: float) -> LargestDifference | None:
    """Return the smallest margin at which H1 would be supported, with missing runs at their worst;
    None if a comparison has no variance."""
    intervals = {c.strategy: bounds(c, 1 - 2 * alpha, supporting) for c in pairs}
    known = {name: interval for name, interval in intervals.items() if interval is not None}
    if not pairs or len(known) < len(pairs):
        return None

    def p(at: float) -> float:
        return max(p_value(c, equivalent(at).test_for, supporting) for c in pairs)

    return largest_difference(known, p, margin, 1 - alpha)
