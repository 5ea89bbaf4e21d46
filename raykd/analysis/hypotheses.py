"""H1, H2 and H5 of a cell: claims about every one of several comparisons.

H1: every strategy is equivalent to forward. H2: every strategy beats no matching. H5: forward is
not beaten by more than the margin. H3, a claim about a ratio, is in `spread.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from raykd.analysis.compare import Rule
from raykd.analysis.holm import claim
from raykd.analysis.looks import DECIDING, chance
from raykd.analysis.power import POWER, above_power, all_of, beyond_power, seeds_for, tost_power
from raykd.analysis.scores import CellName
from raykd.analysis.tost import interval, p_above, p_below, p_beyond, p_tost
from raykd.analysis.verdict import Comparison, Hypothesis, Status

Test = Callable[[float, float, int], float]
"""(mean, sd, n) -> p-value"""
Power = Callable[[int, float, float, float], float]
"""(n, sd, effect, alpha) -> power"""


@dataclass(frozen=True)
class Claim:
    """What is claimed of each comparison, its opposite, and the bound between the two.

    `sides` is 2 where the opposite lies on both sides, so that each gets half of alpha.
    """

    id: str
    margin: float
    sides: int
    test_for: Test
    test_against: Test
    power_for: Power
    power_against: Power
    opposite: Callable[[float], float]
    """How far an effect lies on the opposite's side of the bound; negative where it does not."""


def equivalent(margin: float) -> Claim:
    return Claim(
        id="H1",
        margin=margin,
        sides=2,
        test_for=lambda mean, sd, n: p_tost(mean, sd, n, margin),
        test_against=lambda mean, sd, n: p_beyond(mean, sd, n, margin),
        power_for=lambda n, sd, effect, alpha: tost_power(n, sd, margin, effect, alpha),
        power_against=lambda n, sd, effect, alpha: beyond_power(n, sd, margin, effect, alpha),
        opposite=lambda effect: abs(effect) - margin,
    )


def better() -> Claim:
    return Claim(
        id="H2",
        margin=0.0,
        sides=1,
        test_for=lambda mean, sd, n: p_above(mean, sd, n, 0.0),
        test_against=lambda mean, sd, n: p_below(mean, sd, n, 0.0),
        power_for=lambda n, sd, effect, alpha: above_power(n, sd, 0.0, effect, alpha),
        power_against=lambda n, sd, effect, alpha: above_power(n, sd, 0.0, -effect, alpha),
        opposite=lambda effect: -effect,
    )


def not_beaten(margin: float) -> Claim:
    return Claim(
        id="H5",
        margin=margin,
        sides=1,
        test_for=lambda mean, sd, n: p_below(mean, sd, n, margin),
        test_against=lambda mean, sd, n: p_above(mean, sd, n, margin),
        power_for=lambda n, sd, effect, alpha: above_power(n, sd, -margin, -effect, alpha),
        power_against=lambda n, sd, effect, alpha: above_power(n, sd, margin, effect, alpha),
        opposite=lambda effect: effect - margin,
    )


@dataclass(frozen=True)
class Found:
    """A status with the comparison that decided it, or that stands in the way."""

    status: Status
    comparison: Comparison
    interval: tuple[float, float] | None
    level: float


def decide(the: Claim, found: Sequence[Comparison], alpha: float, complete: bool) -> Found:
    """Judge a claim; `complete` is false where an arm that belongs here has no score at all.

    The interval is read at the level at which the status was reached, so that it lies inside the
    bound where the claim is supported, wholly beyond it where it is contradicted, and across it
    where it is undecided: 1 - 2 alpha for the last comparison that Holm lets pass, and
    Bonferroni's level, which is that of Holm's first step, otherwise.
    """
    m = len(found)
    p_for = np.array([1.0 if c.sd is None else the.test_for(c.effect, c.sd, c.n) for c in found])
    p_against = np.array(
        [1.0 if c.sd is None else the.test_against(c.effect, c.sd, c.n) for c in found]
    )
    supported, contradicted = claim(p_for, p_against, alpha)
    level = 1 - 2 * alpha / the.sides / m
    if contradicted:
        return _found("contradicted", found[int(p_against.argmin())], level)
    # Where p-values are the same, as they are without variance, the effect says which is worst.
    worst = max(range(m), key=lambda i: (p_for[i], the.opposite(found[i].effect)))
    if supported and complete:
        return _found("supported", found[worst], 1 - 2 * alpha)
    return _found("undecided", found[worst], level)


def _found(status: Status, c: Comparison, level: float) -> Found:
    if c.sd is None:
        return Found(status, c, None, level)
    low, high = interval(c.effect, c.sd, c.n, level)
    return Found(status, c, (float(low), float(high)), level)


def more_seeds(the: Claim, found: Sequence[Comparison], alpha: float) -> int | None:
    """Further seeds that would decide the claim at the effects and SDs seen, with power 0.8: by
    the clearest comparison on the opposite's side where there is one, else by all together. None
    where a comparison has no SD yet, or where 10,000 seeds would not do."""
    level = alpha / len(found)
    known = [(c.effect, c.sd) for c in found if c.sd is not None]
    if len(known) < len(found):
        return None
    against = [(effect, sd) for effect, sd in known if the.opposite(effect) > 0]
    if against:
        counts = [
            seeds_for(lambda n, e=effect, s=sd: the.power_against(n, s, e, level))  # type: ignore[misc]
            for effect, sd in against
        ]
        total = min((n for n in counts if n is not None), default=None)
    else:
        powers = [lambda n, e=effect, s=sd: the.power_for(n, s, e, level) for effect, sd in known]
        total = seeds_for(all_of(powers))
    return None if total is None else max(1, total - min(c.n for c in found))


def judge(
    the: Claim,
    found: Sequence[Comparison],
    rule: Rule,
    cell: CellName,
    absent: Sequence[str],
) -> Hypothesis:
    """A hypothesis of one cell from its comparisons, at least one; `absent`: arms that belong here
    and have no score."""
    decided = decide(the, found, rule.alpha, not absent)
    more = None
    if decided.status == "undecided" and not absent:
        more = more_seeds(the, found, rule.alpha)
    to_come = None
    if decided.status == "undecided" and the.id in DECIDING:
        to_come = _to_come(the, found, rule)
    return Hypothesis(
        the.id, *cell, decided.status,
        effect=decided.comparison.effect,
        interval=decided.interval,
        level=decided.level if decided.interval else None,
        n=decided.comparison.n,
        margin=the.margin,
        more_seeds=more,
        strategy=decided.comparison.strategy,
        says=_says(the, decided, len(found), more, absent, rule),
        chance=to_come,
    )  # fmt: skip


def _to_come(the: Claim, found: Sequence[Comparison], rule: Rule) -> float | None:
    """The chance of the last look, where one is to come; 1 where a comparison has no SD yet."""
    if rule.look is None or not rule.look.ahead:
        return None
    known = [(c.effect, c.sd, c.n) for c in found if c.sd is not None]
    if len(known) < len(found):
        return 1.0
    effects, sds, counts = np.array(known).T
    return float(chance(effects, sds, counts, the.margin, the.sides, rule.look))


def _says(
    the: Claim, decided: Found, m: int, more: int | None, absent: Sequence[str], rule: Rule
) -> str:
    c = decided.comparison
    who = f"all {m} strategies are" if m > 1 else f"{c.strategy} is"
    runs = f"over {seeds(c.n)}" if rule.seeded else "in one run"
    seen = f"{c.strategy} {c.effect:+z.2f}{_bounds(decided)} {runs}"
    bound = f"{the.margin:g}"
    if decided.status == "supported":
        lead = {
            "H1": f"{who} within {bound} of forward; the least clear is {seen}",
            "H2": f"{who} better than no matching; the least clear is {seen}",
            "H5": f"forward is not beaten by more than {bound}; the closest is {seen}",
        }[the.id]
        return lead
    if decided.status == "contradicted":
        return {
            "H1": f"differs from forward by more than {bound}: {seen}",
            "H2": f"worse than no matching: {seen}",
            "H5": f"beats forward by more than {bound}: {seen}",
        }[the.id]
    piece = missing_piece(c, more, absent, rule)
    if the.id == "H1" and not rule.seeded and not absent:
        piece += (
            f"; equal arms would show as much in one case of twenty if the SD of a paired "
            f"difference were {abs(c.effect) / 1.96:.2f}"
        )
    return f"{_open(the, seen)}; {piece}"


def _open(the: Claim, seen: str) -> str:
    return {
        "H1": f"neither within {the.margin:g} of forward nor beyond it is shown: {seen}",
        "H2": f"neither better nor worse than no matching is shown: {seen}",
        "H5": f"neither beaten by more than {the.margin:g} nor not is shown: {seen}",
    }[the.id]


def _bounds(decided: Found) -> str:
    if decided.interval is None:
        return ""
    low, high = decided.interval
    return f" ({low:+z.2f} to {high:+z.2f}, {100 * decided.level:.3g} % interval)"


def seeds(n: int) -> str:
    return "1 seed" if n == 1 else f"{n} seeds"


def missing_piece(c: Comparison | None, more: int | None, absent: Sequence[str], rule: Rule) -> str:
    """What stands between an undecided hypothesis and its decision."""
    if absent:
        return f"no paired score of {', '.join(absent)}, without which nothing is said of all"
    if not rule.seeded:
        return "without seeds nothing tells a difference from noise"
    if c is not None and c.sd is None:
        return "one seed shows no variance; run at least two, better as `raykd power` says"
    if more is None:
        return "at the effect and variance seen, even 10,000 seeds would not decide it"
    return (
        f"about {seeds(more).replace(' seed', ' more seed')} would decide it, at the effect and "
        f"variance seen (power {POWER:g})"
    )
