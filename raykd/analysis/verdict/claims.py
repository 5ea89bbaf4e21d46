"""Claims of the sweep file, judged with the tests of H1, H2 and H5.

`better A than B by m`: a one-sided paired t test of A - B against m, in each setting. `equivalent`:
paired TOST of every two arms in each setting. A claim is about all of its comparisons, so it is
supported if each passes at alpha, without correction (intersection-union, Berger 1982), and
contradicted if the opposite is shown for some comparison, by Holm over all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import cast

import numpy as np

from raykd.analysis.claims.results import ClaimComparison, ClaimResult, Status, arm_names, in_words
from raykd.analysis.claims.stated import NamedArm, StatedClaim
from raykd.analysis.digits import estimate
from raykd.analysis.scores import missing
from raykd.analysis.scores.loss_weights import TUNED
from raykd.analysis.scores.missing import Expected
from raykd.analysis.scores.scores import CellName, Scores
from raykd.analysis.stats.paired import holm
from raykd.analysis.stats.sequential import chance
from raykd.analysis.verdict import equivalence
from raykd.analysis.verdict.compare import (
    Rule,
    bounds,
    compare,
    every_case,
    opposing,
    p_value,
    supporting,
)
from raykd.analysis.verdict.problems import MoreSeeds, missing_piece, seed_advice, seeds
from raykd.analysis.verdict.rivals import by_arm, untested
from raykd.analysis.verdict.verdict import Comparison

PLACES = {1: "init", 3: "weight", 4: "schedule"}
"""The factors that an arm may name, by their places in the name of a cell."""
WEIGHT, SCHEDULE = 3, 4
WORDS = {2: "{} blocks", 3: "hidden weight {}", 4: "schedule {}"}
CASES = {"supported": supporting, "contradicted": opposing, "undecided": every_case}


def judge(scores: Scores, rule: Rule) -> tuple[ClaimResult, ...]:
    """Return the answer to each claim, in the order of the file."""
    results = [
        _judged(f"C{number}", claim, scores, rule) for number, claim in enumerate(scores.claims, 1)
    ]
    if not results:
        return ()
    p_for = holm(np.array([r.p_for for r in results]))
    p_against = holm(np.array([r.p_against for r in results]))
    return tuple(
        replace(
            r, p_for_holm=float(a), p_against_holm=float(b),
            together=_together(r.status, float(a), float(b), rule.alpha),
        )
        for r, a, b in zip(results, p_for, p_against, strict=True)
    )  # fmt: skip


def _together(status: Status, p_for: float, p_against: float, alpha: float) -> Status:
    """Return the status that a claim keeps beside the others."""
    kept = {"supported": p_for, "contradicted": p_against, "undecided": 0.0}[status] <= alpha
    return status if kept else "undecided"


@dataclass(frozen=True)
class _Pairs:
    """The comparisons of a claim with their settings, and the arms without a paired score."""

    comparisons: tuple[Comparison, ...]
    settings: tuple[str, ...]
    absent: tuple[str, ...]

    def shown(self, c: Comparison, interval: tuple[float, float] | None) -> ClaimComparison:
        setting = next(s for p, s in zip(self.comparisons, self.settings, strict=True) if p is c)
        lost = len(c.missing.seeds) if c.missing else 0
        return ClaimComparison(c.strategy, c.reference, setting, c.effect, interval, c.n, lost)


def _judged(name: str, claim: StatedClaim, scores: Scores, rule: Rule) -> ClaimResult:
    bound = claim.bound
    if not claim.better:
        bound = max([bound, *(2 * scores.step(task) for task, *_ in scores.cells)])
    test = equivalence.better(bound) if claim.better else equivalence.equivalent(bound)
    pairs = _pairs(claim, scores, rule)
    undecided = ClaimResult(
        name, in_words(claim.arms, claim.bound, claim.better), claim.better, claim.arms, bound,
        claim.bound, "undecided", "undecided", None, 1 - 2 * rule.alpha, 1.0, 1.0, 1.0, 1.0,
        None, None, 0.0 if rule.look else None, 0, False, claim.late,
        f"no paired score of {', '.join(pairs.absent)} here, so nothing is said", (),
    )  # fmt: skip
    if not pairs.comparisons:
        return undecided
    comparisons, complete = pairs.comparisons, not pairs.absent
    decision = equivalence.decide(test, comparisons, rule.alpha, complete)
    status, level = decision.status, decision.level
    further = MoreSeeds()
    if status == "undecided" and complete and not decision.withheld:
        further = seed_advice(test, comparisons, rule)
    p_for = [p_value(c, test.test_for, supporting) for c in comparisons]
    p_against = holm(np.array([p_value(c, test.test_against, opposing) for c in comparisons]))
    shown = tuple(pairs.shown(c, bounds(c, level, CASES[status])) for c in comparisons)
    deciding = pairs.shown(decision.comparison, decision.interval)
    result = replace(
        undecided, status=status, comparison=deciding, level=level,
        p_for=max(p_for) if complete else 1.0, p_against=float(p_against.min()),
        more_seeds=further.count, more_seeds_range=further.range,
        chance=_chance(test, claim, comparisons, rule) if status == "undecided" else None,
        missing=sum(c.missing for c in shown), withheld=decision.withheld is not None,
        comparisons=shown,
    )  # fmt: skip
    return replace(result, says=_says(result, decision, further, pairs, rule))


def _chance(
    test: equivalence.Claim, claim: StatedClaim, pairs: Sequence[Comparison], rule: Rule
) -> float | None:
    """Return the chance that the last look decides the claim, as for H1 and H5. A lead above a
    bound is a lead of the other arm below minus the bound."""
    if rule.look is None or not rule.look.ahead:
        return None
    estimates = [(c.effect, c.sd, c.n) for c in pairs if c.sd is not None]
    if len(estimates) < len(pairs):
        return 1.0
    effects, sds, counts = np.array(estimates).T
    sign = -1 if claim.better else 1
    return float(chance(sign * effects, sds, counts, sign * test.margin, test.sides, rule.look))


def _pairs(claim: StatedClaim, scores: Scores, rule: Rule) -> _Pairs:
    names, _ = arm_names(claim.arms)
    comparisons, where, absent = [], [], []
    settings = list(_settings(claim.arms, scores))
    for cells, setting in settings:
        own = {cell: by_arm(scores, cell) for cell in dict.fromkeys(cells)}
        runs = {cell: _expected(scores, cell, claim.arms, rule.sign) for cell in own}
        scored = [own[cell].get(arm.strategy) for cell, arm in zip(cells, claim.arms, strict=True)]
        place = f" ({setting})" if len(settings) > 1 else ""
        absent += [f"{n}{place}" for n, s in zip(names, scored, strict=True) if s is None]
        for a, b in combinations(range(len(names)), 2):
            first, second = scored[a], scored[b]
            if first is None or second is None:
                continue
            if not first.keys() & second.keys():
                absent.append(f"{names[a]} with {names[b]}{place}")
                continue
            expected = _of_two({names[i]: (runs[cells[i]], claim.arms[i].strategy) for i in (a, b)})
            own_rule = replace(rule, resolution=scores.step(cells[a][0]))
            comparisons.append(compare(names[a], first, names[b], second, own_rule, expected))
            where.append(setting)
    if not comparisons and not absent:
        absent = [*names]
    return _Pairs(tuple(comparisons), tuple(where), tuple(absent))


def _settings(
    arms: Sequence[NamedArm], scores: Scores
) -> Iterator[tuple[tuple[CellName, ...], str]]:
    """Yield the cells of the arms in each setting that a claim is about, and the setting's name:
    every task and shape, and every init, hidden weight and schedule if the arms name none. Cells of
    which no run is finished count, since a claim about all of them is not shown without them."""
    planned = [p.cell for p in scores.problems if p.task and p.init]
    cells = list(dict.fromkeys([*scores.cells, *planned]))
    several = [len(set(values)) > 1 for values in zip(*cells, strict=True)]
    free = [i for i in range(len(several)) if i not in PLACES or not _named(arms[0], i)]
    # A schedule without a hidden loss has no weights to tune.
    tuned = {cell[SCHEDULE] for cell in cells if cell[WEIGHT] == TUNED and WEIGHT in free}
    seen = set()
    for cell in cells:
        own = tuple(_cell_of(arm, cell, free, tuned) for arm in arms)
        if own in seen:
            continue
        seen.add(own)
        parts = [WORDS.get(i, "{}").format(cell[i]) for i in free if several[i] and cell[i]]
        yield cast("tuple[CellName, ...]", own), ", ".join(parts)


def _cell_of(
    arm: NamedArm, cell: Sequence[str | None], free: Sequence[int], tuned: Collection[str | None]
) -> tuple[str, ...]:
    """Return the cell of an arm in the setting of another cell, and its tuned weight if it has
    one."""
    own = [str(value) if i in free else _named(arm, i) for i, value in enumerate(cell)]
    if WEIGHT in free and own[SCHEDULE] in tuned:
        own[WEIGHT] = TUNED
    elif WEIGHT in free and own[SCHEDULE] != cell[SCHEDULE]:
        own[WEIGHT] = ""
    return tuple(own)


def _named(arm: NamedArm, place: int) -> str:
    """Return the factor of a cell that an arm names; empty if it names none."""
    return str(getattr(arm, PLACES[place])) if place in PLACES else ""


def _expected(scores: Scores, cell: CellName, arms: Sequence[NamedArm], sign: int) -> Expected:
    """Return the expected runs of a cell. Their range is that of the arms under test, no matching
    and the arms of the claim."""
    scored = by_arm(scores, cell)
    claimed = {arm.strategy for arm in arms}
    among = [a for a, s in scored.items() if a in claimed or not any(untested(s))]
    return missing.expected(scores, cell, scored, among, sign)


def _of_two(runs: Mapping[str, tuple[Expected, str]]) -> Expected:
    """Return the expected runs of two arms by their names in the claim, each with the range of its
    own cell."""
    expected = {name: cell.seeds[strategy] for name, (cell, strategy) in runs.items()}
    ranges = {
        (name, seed): cell.range(strategy, seed)
        for name, (cell, strategy) in runs.items()
        for seed in expected[name]
    }
    return Expected(expected, 0.0, 0.0, ranges)


def _says(
    result: ClaimResult, decision: equivalence.Decision, further: MoreSeeds, pairs: _Pairs,
    rule: Rule,
) -> str:  # fmt: skip
    c, shown = decision.comparison, result.comparison
    assert shown is not None
    level = f", {100 * decision.level:.3g} % interval"
    place = f"{shown.setting}: " if shown.setting else ""
    gap = estimate(result.bound or rule.margin, c.effect, decision.interval, level)
    runs = f"over {seeds(c.n)}" if rule.seeded else "in one run"
    lost = (
        f", with {shown.missing} of {shown.missing + c.n} missing, at the worst and the best score "
        "seen"
    ) * bool(shown.missing)
    evidence = f"{place}{c.strategy} against {c.reference} {gap} {runs}{lost}"
    if decision.withheld is not None:
        verb = {"supported": "support", "contradicted": "contradict"}[decision.withheld]
        return (
            f"withheld: the finished runs alone would {verb} it, the missing ones could undo "
            f"that: {evidence}; run what is missing"
        )
    several = len(result.comparisons) > 1
    if decision.status == "supported":
        return f"the least clear of {len(result.comparisons)} is {evidence}" * several or evidence
    if decision.status == "contradicted":
        return evidence
    return f"{evidence}; {missing_piece(c, further, pairs.absent, rule)}"
