"""H4: the answer to H1 holds over the cells, in every one and on average; and the model over tasks.

In every cell: an intersection-union claim over all comparisons of all cells. On average:
each strategy's differences to forward are averaged over the cells by random effects
(stats/random_effects.py). The average is withheld below five cells: a variance between fewer is a
guess, and their interval is wider than any margin of use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from raykd.analysis.digits import estimate
from raykd.analysis.scores.loss_weights import TUNED
from raykd.analysis.scores.scores import FORWARD, NONE, Score, Scores
from raykd.analysis.stats import mixed, paired
from raykd.analysis.stats.random_effects import (
    RandomEffects,
    mean_covariance,
    random_effects,
)
from raykd.analysis.verdict import equivalence
from raykd.analysis.verdict.compare import Rule
from raykd.analysis.verdict.context import CellAverage, OverCells
from raykd.analysis.verdict.verdict import Case, Cell, Comparison, Finding, Status

FEWEST = 5  # cells below which the average is withheld

CaseOf = Callable[[Comparison], Case | None]
SUPPORTING: tuple[CaseOf, ...] = (
    lambda c: _seen(c),
    lambda c: c.missing.low if c.missing else _seen(c),
    lambda c: c.missing.high if c.missing else _seen(c),
)
OPPOSING: tuple[CaseOf, ...] = (
    lambda c: _seen(c),
    lambda c: c.missing.failed if c.missing else _seen(c),
)


def judge(all_cells: Sequence[Cell], rule: Rule) -> OverCells | None:
    """Return H4 over the cells, or over the tuned ones of a schedule if the hidden weight is a
    factor under it; None unless two of them compare a strategy with forward."""
    tuned = {c.schedule for c in all_cells if c.weight == TUNED}
    cells = [c for c in all_cells if c.weight == TUNED or c.schedule not in tuned]
    compared = [c for c in cells if c.to_forward]
    if len(compared) < 2:
        return None
    claim = equivalence.equivalent(rule.margin)
    pairs = [pair for cell in compared for pair in cell.to_forward]
    complete = all(c.hypothesis("H1").status == "supported" for c in cells)
    decision = equivalence.decide(claim, pairs, rule.alpha, complete)
    where = next(c for c in compared if any(p is decision.comparison for p in c.to_forward))
    average, averages, average_says = _average(compared, len(cells), rule)
    return OverCells(
        cells=len(cells),
        everywhere=decision.status,
        effect=decision.comparison.effect,
        interval=decision.interval,
        level=decision.level if decision.interval else None,
        margin=rule.margin,
        strategy=decision.comparison.strategy,
        cell=where.name,
        says=_says(decision, where, len(cells), rule.margin),
        average=average,
        averages=averages,
        average_says=average_says,
        dependent=_dependent(cells),
    )


def _says(decision: equivalence.Decision, where: Cell, cells: int, margin: float) -> str:
    c = decision.comparison
    schedule = f", schedule {where.schedule}" if where.schedule else ""
    level = f", {100 * decision.level:.3g} % interval"
    evidence = (
        f"{c.strategy} {estimate(margin, c.effect, decision.interval, level)} in {where.task}, "
        f"{where.init}, {where.shape} blocks{schedule}"
    )
    answer = {
        "supported": f"every strategy is within {margin:.4g} of forward in all {cells} cells; the "
        "least clear is",
        "contradicted": f"some strategy differs from forward by more than {margin:.4g}:",
        "undecided": f"neither within {margin:.4g} of forward in all {cells} cells nor beyond it "
        "in one is shown:",
    }[decision.status]
    return f"{answer} {evidence}"


@dataclass(frozen=True)
class _Averaged:
    """A strategy's average, by case of its missing runs."""

    strategy: str
    supporting: tuple[RandomEffects, ...]
    opposing: tuple[RandomEffects, ...]
    seeded: bool

    def p_for(self, margin: float) -> float:
        return max(float(r.p_equivalent(margin)) for r in self.supporting)

    def p_against(self, margin: float) -> float:
        return max(float(r.p_beyond(margin)) for r in self.opposing)

    def interval(self, level: float, cases: Sequence[RandomEffects]) -> tuple[float, float]:
        lows, highs = zip(*(r.interval(level) for r in cases), strict=True)
        return float(min(lows)), float(max(highs))


def _average(
    cells: Sequence[Cell], expected: int, rule: Rule
) -> tuple[Status | None, tuple[CellAverage, ...], str]:
    """Return the status of the average, the average of each strategy, and what is withheld."""
    by_strategy: dict[str, list[tuple[str, Comparison]]] = {}
    for cell in cells:
        for pair in cell.to_forward:
            if pair.sd is not None or not rule.seeded:
                by_strategy.setdefault(pair.strategy, []).append((cell.task, pair))
    averaged = [
        _Averaged(name, _over(pairs, SUPPORTING), _over(pairs, OPPOSING), rule.seeded)
        for name, pairs in by_strategy.items()
        if len(pairs) >= FEWEST
    ]
    if not averaged:
        most = max(map(len, by_strategy.values()), default=0)
        return None, (), f"it takes {FEWEST} cells, and {most} compare a strategy with forward"
    margin, alpha = rule.margin, rule.alpha
    lacking = [name for name, pairs in by_strategy.items() if len(pairs) < expected]
    p_for = np.array([a.p_for(margin) for a in averaged])
    p_against = np.array([a.p_against(margin) for a in averaged])
    supported, contradicted = paired.claim(p_for, p_against, alpha)
    status: Status = "undecided"
    if contradicted:
        status = "contradicted"
    elif supported and not lacking:
        status = "supported"
    averages = tuple(
        _labelled(a, p_for, p_against, i, rule, status == "supported")
        for i, a in enumerate(averaged)
    )
    says = {
        "supported": f"every strategy is within {margin:.4g} of forward on average over cells like "
        "these",
        "contradicted": f"on average over cells like these, some strategy differs from forward by "
        f"more than {margin:.4g}",
        "undecided": f"neither within {margin:.4g} of forward on average nor beyond it is shown",
    }[status]
    if lacking:
        says += f"; not compared in every cell: {', '.join(lacking)}"
    return status, averages, says


def _over(
    pairs: Sequence[tuple[str, Comparison]], cases: Sequence[CaseOf]
) -> tuple[RandomEffects, ...]:
    covariance, seeds = _covariance(pairs)
    result = []
    for case_of in cases:
        values = [case_of(pair) for _, pair in pairs]
        effects = [
            pair.effect if value is None else value.effect
            for (_, pair), value in zip(pairs, values, strict=True)
        ]
        variances = [0.0 if v is None else v.sd**2 / v.n for v in values]
        result.append(random_effects(np.array(effects), np.array(variances), covariance, seeds))
    return tuple(result)


def _covariance(pairs: Sequence[tuple[str, Comparison]]) -> tuple[float, int]:
    """Return the mean covariance over all pairs of cells, and the fewest seeds that it is estimated
    from. Cells of different tasks share no seed: a number there means other rows."""
    total, fewest = 0.0, []
    for task in dict.fromkeys(task for task, _ in pairs):
        of_task = [pair for name, pair in pairs if name == task]
        shared = sorted(set.intersection(*(set(pair.seeds) for pair in of_task)))
        if len(of_task) < 2 or len(shared) < 2:
            continue
        by_seed = [dict(zip(p.seeds, p.differences, strict=True)) for p in of_task]
        table = np.array([[values[seed] for seed in shared] for values in by_seed])
        total += float(mean_covariance(table)) * len(of_task) * (len(of_task) - 1)
        fewest.append(len(shared))
    return total / (len(pairs) * (len(pairs) - 1)), min(fewest, default=2)


def _seen(c: Comparison) -> Case | None:
    return None if c.sd is None else Case(c.effect, c.sd, c.n)


def _labelled(
    averaged: _Averaged, p_for: np.ndarray, p_against: np.ndarray, index: int, rule: Rule,
    supported: bool,
) -> CellAverage:  # fmt: skip
    """Return an average with its finding and an interval at the level of the finding, as
    `compare.to_forward` does for one cell."""
    alpha = rule.alpha
    for_level = alpha if supported else paired.last_step(p_for, alpha)
    against_level = paired.last_step(p_against, alpha) / 2
    every = (*averaged.supporting, *averaged.opposing)
    finding: Finding
    if supported or paired.holm(p_for)[index] <= alpha:
        finding, level, cases = "equivalent", for_level, averaged.supporting
    elif paired.holm(p_against)[index] <= alpha:
        finding, level, cases = "different", against_level, averaged.opposing
    else:
        finding, level, cases = "undecided", min(for_level, against_level), every
    seen = averaged.supporting[0]
    return CellAverage(
        averaged.strategy, seen.cells, float(seen.mean),
        float(seen.tau) if averaged.seeded else None,
        averaged.interval(1 - 2 * level, cases), 1 - 2 * level,
        float(p_for[index]), float(p_against[index]), finding,
    )  # fmt: skip


def _dependent(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Name the cells of one task: they share its teacher, its test examples and their seeds."""
    groups: dict[str, int] = {}
    for cell in cells:
        groups[cell.task] = groups.get(cell.task, 0) + 1
    return tuple(
        f"the {count} cells of {task} share one teacher and its seeds, so they are not "
        "independent: the average allows for the seeds, and says nothing of other teachers"
        for task, count in groups.items()
        if count > 1
    )


def over_tasks(scores: Scores, rule: Rule) -> tuple[mixed.Mixed, ...]:
    """Return a mixed model for each init, shape, metric and schedule with forward and another
    strategy on several tasks."""
    groups: dict[tuple[str, str, str, str], list[Score]] = {}
    for score in scores.items:
        excluded = score.strategy == NONE or score.control or score.sampled
        if not excluded and score.weight in ("", TUNED):
            key = (score.init, score.shape, score.metric, score.schedule)
            groups.setdefault(key, []).append(score)
    result = []
    for group in groups.values():
        tasks = {s.task for s in group}
        complete = [a for a in {s.strategy for s in group}
                 if {s.task for s in group if s.strategy == a} == tasks]  # fmt: skip
        if len(tasks) > 1 and FORWARD in complete and len(complete) > 1:
            shared = [s for s in group if s.strategy in complete]
            model = mixed.over_tasks(shared, rule.sign, rule.alpha, rule.seeded)
            result += [model] if model is not None else []
    return tuple(result)
