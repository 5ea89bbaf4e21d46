"""Judge scores: the verdict with the arms, hypotheses and problems of each cell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from raykd.analysis.digits import Digits
from raykd.analysis.scores import missing
from raykd.analysis.scores.answers import correctness
from raykd.analysis.scores.loss_weights import TUNED
from raykd.analysis.scores.missing import Expected
from raykd.analysis.scores.scores import FORWARD, NONE, CellName, Score, Scores
from raykd.analysis.stats import gap, variance
from raykd.analysis.stats.margins import larger_test
from raykd.analysis.stats.pooled import pooled
from raykd.analysis.stats.sequential import Look, after
from raykd.analysis.stats.spread import SMALL, SpreadRatio
from raykd.analysis.stats.stages import FIRST, Judgement, later_level
from raykd.analysis.stats.variance import Shares
from raykd.analysis.verdict import claims, equivalence, over_cells, spread
from raykd.analysis.verdict.compare import Rule, matrix, to_forward, to_reference
from raykd.analysis.verdict.problems import absent_arms, absent_controls, of_cell
from raykd.analysis.verdict.rivals import (
    ByArm,
    arms_of,
    by_arm,
    controls,
    curses,
    explored_maps,
    sampled_maps,
    untested,
    with_counts,
)
from raykd.analysis.verdict.verdict import Cell, Comparison, Hypothesis, Verdict
from raykd.tasks.kinds.metric import metric_named


def judge(
    scores: Scores, margin: float = 1.0, alpha: float = 0.05, look: Look | None = None
) -> Verdict:
    """Return the verdict at a margin (in the metric's units) that was stated before the sweep.

    A margin below two steps of the score is raised to two steps, as two arms that differ by one
    test row are neither shown to be equal nor to differ by less. Only confirmed scores count;
    explored scores enter the winner's curse and the landscape only.
    `look`: the interim analysis that the scores belong to, if alpha is split over several.
    """
    sign = 1 if scores.larger_is_better else -1
    stated, margin = margin, max(margin, _two_steps(scores, margin))
    judgement = Judgement.of(scores.stages, scores.extend, alpha)
    level = judgement.level(alpha) if judgement else alpha
    rule = Rule(
        margin, look.alpha if look else level, sign, scores.resolution, scores.seeded, look,
        scores.majority,
        tuple(map(frozenset, scores.stages)) if judgement and judgement.combined else (),
        later_level(alpha) if judgement and level < alpha else None,
        metric_named(scores.metric).constant,
    )  # fmt: skip
    cells = tuple(
        _cell(scores, name, replace(rule, resolution=scores.step(name[0]))) for name in scores.cells
    )
    answers = claims.judge(scores, rule)
    if look is not None:
        look = after(look, (*(h for cell in cells for h in cell.hypotheses), *answers))
    return Verdict(
        source=scores.source,
        metric=scores.metric,
        larger_is_better=scores.larger_is_better,
        margin=margin,
        stated_margin=stated,
        alpha=alpha,
        cells=cells,
        shares=_over_inits(scores, rule),
        mixed=over_cells.over_tasks(scores, rule),
        over_cells=over_cells.judge(cells, rule),
        problems=tuple(p for p in scores.problems if p.task is None),
        notes=(
            *([judgement.says(alpha)] if judgement and judgement.extend else []),
            *([look.says] if look else []),
            *_notes(scores, rule),
        ),
        judgement=judgement,
        look=look,
        scale=scores.scale,
        claims=answers,
    )


def _two_steps(scores: Scores, margin: float) -> float:
    """Return two steps of the coarsest score, or 0 if the margin is not below them."""
    two_steps = 2 * max((scores.step(task) for task, *_ in scores.cells), default=0.0)
    return 0.0 if math.isclose(two_steps, margin) else two_steps


def _cell(scores: Scores, cell: CellName, rule: Rule) -> Cell:
    arms = by_arm(scores, cell)
    none, forward = arms.get(NONE), arms.get(FORWARD)
    tested = {a: s for a, s in arms.items() if a != NONE and not any(untested(s))}
    not_forward = {a: s for a, s in tested.items() if a != FORWARD}
    absent = absent_arms(scores, cell, arms)
    forward_arms, none_arms = _shared(not_forward, forward), _shared(tested, none)
    without_forward = [*absent, *(a for a in not_forward if a not in forward_arms)]
    without_none = [*absent, *(a for a in tested if a not in none_arms)]
    compared = [*tested, *([NONE] if none else [])]
    expected_runs = missing.expected(scores, cell, arms, compared, rule.sign)
    forward_pairs = (
        to_forward(forward_arms, forward, rule, expected_runs, not without_forward)
        if forward
        else ()
    )
    none_pairs = to_reference([(a, s, NONE, none) for a, s in none_arms.items()] if none else [],
                              rule, expected_runs, not without_none)  # fmt: skip
    h3, ratio = _h3(tested, none, rule, cell, absent, expected_runs)
    best = [c for c in forward_pairs if c.strategy.startswith("best_")]
    seeds, table = matrix(list(tested.values()), rule.sign)
    enough = len(seeds) > 1 and len(tested) > 1
    result = Cell(
        *cell,
        arms=arms_of(scores, cell, arms, expected_runs, rule),
        hypotheses=(
            _hypothesis(
                equivalence.equivalent(rule.margin), forward_pairs, rule, cell, without_forward
            ),
            _hypothesis(equivalence.better(), none_pairs, rule, cell, without_none),
            h3,
            _hypothesis(equivalence.not_beaten(rule.margin), best or forward_pairs, rule, cell,
                [a for a in without_forward if a.startswith("best_")] if best else without_forward),
        ),
        to_forward=forward_pairs,
        to_none=none_pairs,
        pooled=pooled(list(tested), table, rule.resolution) if forward and enough else None,
        gap=gap.largest(list(tested), table, rule.alpha, rule.resolution) if enough else None,
        ratio=ratio,
        shares=variance.shares(table.T[None], rule.alpha) if enough else None,
        sampled=sampled_maps({a: s for a, s in arms.items() if a != NONE}, rule),
        curse=curses(scores, cell, tested, forward_pairs, rule),
        controls=controls(
            arms, tested, rule, missing.expected(scores, cell, arms, [*arms], rule.sign),
            [*absent, *absent_controls(scores, cell, arms)],
        ),
        problems=of_cell(scores, cell, arms),
        landscape=explored_maps(scores, cell, tested, rule),
        largest=None if without_forward else equivalence.largest(
            forward_pairs, rule.margin, rule.alpha
        ),
        larger_test=larger_test(correctness(forward_arms, forward)) if forward else None,
    )  # fmt: skip
    return with_counts(result) if rule.seeded else result


def _shared(arms: ByArm, reference: Mapping[int, Score] | None) -> dict[str, Mapping[int, Score]]:
    """Return the arms that share a seed with the reference."""
    return {a: s for a, s in arms.items() if reference and s.keys() & reference.keys()}


def _hypothesis(
    claim: equivalence.Claim,
    comparisons: Sequence[Comparison],
    rule: Rule,
    cell: CellName,
    absent: list[str],
) -> Hypothesis:
    if comparisons:
        return equivalence.judge(claim, comparisons, rule, cell, absent)
    reason = "no arm without matching (none)" if claim.id == "H2" else "no pair with forward"
    says = f"{reason} here, so nothing is said"
    return Hypothesis(
        claim.id, *cell, "undecided", None, None, None, 0, claim.margin, None, None, says,
        chance=0.0 if rule.look else None,
    )  # fmt: skip


def _h3(
    tested: ByArm,
    none: Mapping[int, Score] | None,
    rule: Rule,
    cell: CellName,
    absent: list[str],
    expected_runs: Expected,
) -> tuple[Hypothesis, SpreadRatio | None]:
    if none is None or len(tested) < 2:
        reason = "no arm without matching (none)" if none is None else "fewer than two strategies"
        return Hypothesis(
            "H3", *cell, "undecided", None, None, None, 0, SMALL, None, None,
            f"{reason} here, so nothing is said",
        ), None  # fmt: skip
    if rule.stages:  # claims about ratios are not extended
        first = rule.stages[0]
        seeds = {a: s & first for a, s in expected_runs.seeds.items()}
        expected_runs = replace(expected_runs, seeds=seeds)
        rule = replace(rule, alpha=FIRST * rule.alpha, stages=())
        tested = {a: {s: x for s, x in arm.items() if s in first} for a, arm in tested.items()}
    table = missing.matrix({**tested, NONE: none}, expected_runs, rule.sign)
    return spread.judge(table, rule, cell, absent, expected_runs.worst)


def _over_inits(scores: Scores, rule: Rule) -> tuple[tuple[str, str, Shares, str], ...]:
    """Return the variance shares of map, seed and init for each task, shape and schedule with
    several inits, over the common strategies and seeds; of the tuned cells if the hidden weight is
    a factor."""
    result = []
    cells = [c for c in scores.cells if c[3] in ("", TUNED)]
    for key in dict.fromkeys((c[0], c[2], c[4]) for c in cells):
        task, shape, schedule = key
        by_init = [by_arm(scores, c) for c in cells if (c[0], c[2], c[4]) == key]
        names = [
            a for a in by_init[0]
            if a != NONE
            and not any(untested(by_init[0][a]))
            and all(a in arms for arms in by_init)
        ]  # fmt: skip
        if len(by_init) < 2 or len(names) < 2:
            continue
        seeds = set.intersection(*(set(arms[a]) for arms in by_init for a in names))
        if len(seeds) < 2:
            continue
        table = [
            [[rule.sign * arms[a][s].score for s in sorted(seeds)] for a in names]
            for arms in by_init
        ]
        if (shares := variance.shares(table, rule.alpha)) is not None:
            result.append((task, shape, shares, schedule))
    return tuple(result)


def _notes(scores: Scores, rule: Rule) -> tuple[str, ...]:
    notes = [] if scores.larger_is_better else [
        f"{scores.metric}: smaller is better; effects are turned so that positive is better"
    ]  # fmt: skip
    if not scores.seeded:
        sd = Digits.of(rule.margin, rule.margin / 1.96).plain(rule.margin / 1.96)
        notes.append(
            f"No seeds are stated, so one score stands for each arm. Two runs of the very same arm "
            f"differ by more than {rule.margin:.4g} in one case of twenty once the SD of a paired "
            f"difference is {sd}: whether a difference here is more than that, "
            "these numbers cannot say"
        )
    return tuple(notes)
