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
from raykd.analysis.verdict.problems import absent_arms
from raykd.analysis.verdict.rivals import ByArm, by_arm
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
    measured = {
        name: own for name in LARGER_IS_BETTER if (own := _in_place_of_scores(name, scores)).items
    }
    cells = tuple(
        replace(cell, endpoints=tuple(_of_cell(cell, measured, scores, verdict.at)))
        for cell in verdict.cells
    )
    without = [name for name in scores.endpoint_margins if name not in measured]
    notes = (
        f"endpoint_margins: no student here has {', '.join(without)}: only answers with "
        "probabilities of classes have, and students that were trained before raykd logged them "
        "do not",
    ) * bool(without)
    return replace(verdict, cells=cells, notes=(*verdict.notes, *notes))


def _in_place_of_scores(name: str, scores: Scores) -> Scores:
    """Return the students that have an endpoint, with the endpoint as their score."""
    items = tuple(
        replace(s, score=s.endpoints[name], ids=None, correct=None)
        for s in scores.items
        if name in s.endpoints
    )
    return replace(scores, items=items, failed=())


def _of_cell(
    cell: Cell, measured: Mapping[str, Scores], scores: Scores, alpha: float
) -> Iterator[Endpoint]:
    key = cell.name
    step = scores.step(cell.task)
    idle: set[str] = set()  # arms whose students do not score above the majority class
    if scores.majority is not None:
        sign = 1 if scores.larger_is_better else -1
        limit = sign * scores.majority + step / 2
        idle = {arm.strategy for arm in cell.arms if max(sign * s for s in arm.scores) <= limit}
    for name, own in measured.items():
        if not (arms := by_arm(own, key)):
            continue
        # A student agrees on a whole number of test examples, as it answers one correctly.
        finest = 100 * step / scores.scale if name == "agreement" and scores.scale else 0.0
        stated = scores.endpoint_margins.get(name)
        margin = None if stated is None else max(stated, 2 * finest)
        # At an infinite margin every test passes, so the intervals have the level of one test.
        rule = Rule(
            math.inf if margin is None else margin, alpha, 1 if LARGER_IS_BETTER[name] else -1,
            finest, scores.seeded,
        )  # fmt: skip
        compared = tuple(
            EndpointDifference(
                c.strategy,
                None if margin is None else _finding(c, {c.strategy, FORWARD} <= idle),
                c.effect, c.interval, c.level, c.n,
            )
            for c in _to_forward(own, key, arms, rule)
        )  # fmt: skip
        means = tuple(_mean(strategy, arm) for strategy, arm in arms.items())
        yield Endpoint(name, LARGER_IS_BETTER[name], margin, stated, means, compared)


def _to_forward(scores: Scores, cell: CellName, arms: ByArm, rule: Rule) -> tuple[Comparison, ...]:
    forward = arms.get(FORWARD)
    if forward is None:
        return ()
    tested = {a: arm for a, arm in arms.items() if a != NONE and not _untested(arm)}
    shared = {a: arm for a, arm in tested.items() if a != FORWARD and arm.keys() & forward.keys()}
    complete = not absent_arms(scores, cell, arms) and len(shared) == len(tested) - 1
    compared = [*tested, *([NONE] if NONE in arms else [])]
    runs = missing.expected(scores, cell, arms, compared, rule.sign)
    return to_forward(shared, forward, rule, runs, complete)


def _finding(
    c: Comparison, nothing_learned: bool
) -> Literal["equivalent", "different", "undecided"]:
    """Return the finding. Two arms at the majority class are no evidence, as for the score."""
    if not nothing_learned and (c.finding == "equivalent" or c.finding == "different"):
        return c.finding
    return "undecided"


def _untested(arm: Mapping[int, Score]) -> bool:
    first = next(iter(arm.values()))
    return first.control or first.sampled


def _mean(strategy: str, arm: Mapping[int, Score]) -> EndpointMean:
    first = next(iter(arm.values()))
    return EndpointMean(strategy, first.control, fmean(s.score for s in arm.values()), len(arm))
