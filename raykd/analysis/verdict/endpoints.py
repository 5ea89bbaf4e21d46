"""Secondary endpoints of a verdict: NLL, Brier score and agreement with the teacher.

Each is compared with forward as the score is: by the same paired tests, with worst cases for
missing runs, at alpha (that of the look). Endpoints decide no hypothesis, and nothing is corrected
for their number. An endpoint without a stated margin has intervals only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import fmean
from typing import Literal

from raykd.analysis.scores import missing
from raykd.analysis.scores.scores import FORWARD, NONE, CellName, Score, Scores
from raykd.analysis.verdict.compare import Rule, to_forward
from raykd.analysis.verdict.context import Endpoint, EndpointDifference, EndpointMean
from raykd.analysis.verdict.judge import by_arm
from raykd.analysis.verdict.problems import absent_arms
from raykd.analysis.verdict.verdict import Cell, Comparison, Verdict
from raykd.tasks.endpoints import LARGER_IS_BETTER

TITLES = {
    "nll": "NLL in nats",
    "brier": "Brier score, 0 to 2",
    "agreement": "agreement with the teacher in percent",
}


def add_endpoints(verdict: Verdict, scores: Scores) -> Verdict:
    """Return the verdict with the secondary endpoints of each cell, from the scores that it was
    reached from. Its hypotheses are unchanged."""
    cells = tuple(
        replace(cell, endpoints=tuple(of_cell(cell, scores, verdict.at))) for cell in verdict.cells
    )
    measured = {endpoint.name for cell in cells for endpoint in cell.endpoints}
    without = [name for name in scores.endpoint_margins if name not in measured]
    notes = (
        f"endpoint_margins: no student here has {', '.join(without)}: only answers with "
        "probabilities of classes have, and students that were trained before raykd logged them "
        "do not",
    ) * bool(without)
    return replace(verdict, cells=cells, notes=(*verdict.notes, *notes))


def of_cell(cell: Cell, scores: Scores, alpha: float) -> Iterator[Endpoint]:
    """Yield the endpoints that students of a cell have."""
    name = (cell.task, cell.init, cell.shape, cell.weight)
    for endpoint in LARGER_IS_BETTER:
        items = tuple(
            replace(s, score=s.endpoints[endpoint], ids=None, correct=None)
            for s in scores.items
            if s.cell == name and endpoint in s.endpoints
        )
        if items:
            own = replace(scores, items=items, failed=(), majority=None)
            yield _endpoint(endpoint, own, name, alpha)


def _endpoint(name: str, scores: Scores, cell: CellName, alpha: float) -> Endpoint:
    larger_is_better, arms = LARGER_IS_BETTER[name], by_arm(scores, cell)
    # A student agrees on a whole number of test examples, as it answers one correctly.
    step = 0.0
    if name == "agreement" and scores.scale:
        step = scores.step(cell[0]) * 100 / scores.scale
    stated = scores.endpoint_margins.get(name)
    margin = None if stated is None else max(stated, 2 * step)
    return Endpoint(
        name,
        larger_is_better,
        margin,
        stated,
        means=tuple(_mean(strategy, arm) for strategy, arm in arms.items()),
        to_forward=tuple(
            EndpointDifference(
                c.strategy, None if margin is None else _finding(c), c.effect, c.interval,
                c.level, c.n,
            )
            for c in _comparisons(scores, cell, margin, alpha, step, larger_is_better)
        ),
    )  # fmt: skip


def _comparisons(
    scores: Scores,
    cell: CellName,
    margin: float | None,
    alpha: float,
    step: float,
    larger_is_better: bool,
) -> tuple[Comparison, ...]:
    arms = by_arm(scores, cell)
    forward = arms.get(FORWARD)
    if forward is None:
        return ()
    tested = {a: arm for a, arm in arms.items() if a != NONE and not _untested(arm)}
    shared = {a: arm for a, arm in tested.items() if a != FORWARD and arm.keys() & forward.keys()}
    complete = not absent_arms(scores, cell, arms) and len(shared) == len(tested) - 1
    sign = 1 if larger_is_better else -1
    compared = [*tested, *([NONE] if NONE in arms else [])]
    runs = missing.expected(scores, cell, arms, compared, sign)
    # At an infinite margin every test passes, so the intervals have the level of a single test.
    rule = Rule(math.inf if margin is None else margin, alpha, sign, step, scores.seeded)
    return to_forward(shared, forward, rule, runs, complete)


def _finding(c: Comparison) -> Literal["equivalent", "different", "undecided"]:
    if c.finding == "equivalent" or c.finding == "different":
        return c.finding
    return "undecided"


def _untested(arm: Mapping[int, Score]) -> bool:
    first = next(iter(arm.values()))
    return first.control or first.sampled


def _mean(strategy: str, arm: Mapping[int, Score]) -> EndpointMean:
    first = next(iter(arm.values()))
    return EndpointMean(strategy, first.control, fmean(s.score for s in arm.values()), len(arm))
