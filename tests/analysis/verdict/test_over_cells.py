"""H4: the answer in every cell and on average, on made-up scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raykd.analysis.scores.scores import Problem, Scores
from raykd.analysis.verdict.context import OverCells
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.over_cells import FEWEST

from .. import made

MARGIN = 1.0


def cells(
    offs: Mapping[str, float], *, sd: float = 0.2, seeds: int = 5, rival: str = "reverse"
) -> Scores:
    """A cell for each task, with a rival that is off forward by so much."""
    rng = np.random.default_rng(0)
    found = []
    for task, off in offs.items():
        forward = 80 + rng.normal(0, 1, seeds)
        arms = {"forward": forward, rival: forward + off + rng.normal(0, sd, seeds)}
        found.append(made.scores({k: v.tolist() for k, v in arms.items()}, task=task))
    return made.together(*found)


def tasks(count: int, off: float = 0.0) -> dict[str, float]:
    return {f"task{i}": off for i in range(count)}


def h4(scores: Scores) -> OverCells:
    found = judge(scores, MARGIN).over_cells
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("offs", "everywhere", "average"),
    [
        (tasks(6), "supported", "supported"),
        ({**tasks(5), "odd": 3.0}, "contradicted", "undecided"),
        (tasks(6, 3.0), "contradicted", "contradicted"),
        ({**tasks(5), "odd": 1.0}, "undecided", "supported"),
    ],
)
def test_in_every_cell_and_on_average(
    offs: dict[str, float], everywhere: str, average: str
) -> None:
    found = h4(cells(offs))
    assert (found.cells, found.everywhere, found.average) == (6, everywhere, average)
    assert found.interval is not None
    low, high = found.interval
    inside, outside = -MARGIN < low and high < MARGIN, high < -MARGIN or low > MARGIN
    assert (inside, outside) == (everywhere == "supported", everywhere == "contradicted")
    if "odd" in offs:
        assert found.cell[0] == "odd"


@settings(max_examples=15)
@given(st.lists(st.floats(-2, 2), min_size=2, max_size=6), st.floats(0.05, 1.5))
def test_everywhere_is_what_every_cell_says(offs: list[float], sd: float) -> None:
    """An intersection-union claim: supported exactly if H1 is in every cell, at alpha."""
    verdict = judge(cells({f"task{i}": off for i, off in enumerate(offs)}, sd=sd), MARGIN)
    found = verdict.over_cells
    assert found is not None
    of_cells = {c.hypothesis("H1").status for c in verdict.cells}
    assert (found.everywhere == "supported") == (of_cells == {"supported"})
    if found.everywhere == "contradicted":
        assert "contradicted" in of_cells
    for average in found.averages:
        low, high = average.interval
        side = ("equivalent" if -MARGIN < low and high < MARGIN
                else "different" if high < -MARGIN or low > MARGIN else "undecided")  # fmt: skip
        assert side == average.finding


def test_one_cell_has_no_h4() -> None:
    assert judge(cells(tasks(1)), MARGIN).over_cells is None


def test_below_five_cells_the_average_is_withheld() -> None:
    found = h4(cells(tasks(FEWEST - 1)))
    assert (found.everywhere, found.average, found.averages) == ("supported", None, ())
    assert found.average_says == "it takes 5 cells, and 4 compare a strategy with forward"
    assert h4(cells(tasks(FEWEST))).average == "supported"


def test_a_strategy_that_some_cell_lacks_holds_both_claims_back() -> None:
    last = cells({"task0": 0.0}, rival="last")
    found = h4(made.together(cells(tasks(6)), last))
    assert found.everywhere == "undecided" and found.average == "undecided"
    assert "not compared in every cell: last" in found.average_says


def test_missing_runs_count_at_their_worst() -> None:
    scores = cells(tasks(6))
    # One seed failed in each cell, and a run of none shows how bad a run can be.
    kept = tuple(s for s in scores.items if not (s.strategy == "reverse" and s.seed == 4))
    bad = replace(scores.items[0], strategy="none", score=20.0)
    lost = tuple(
        Problem("failed", "reverse failed under seeds 4", f"task{i}", "copied", "3", "reverse",
                seeds=(4,))
        for i in range(6)
    )  # fmt: skip
    found = h4(replace(scores, items=(*kept, bad), problems=lost))
    assert found.everywhere == "undecided"
    before = h4(scores)
    assert found.averages[0].p_equivalent >= before.averages[0].p_equivalent


def test_cells_of_one_task_are_named_as_dependent() -> None:
    arms = {"forward": [80.0, 81.0, 82.0], "reverse": [80.1, 80.9, 82.0]}
    found = h4(made.together(made.scores(arms), made.scores(arms, init="random"),
                             made.scores(arms, task="other")))  # fmt: skip
    assert len(found.dependent) == 1
    assert "the 2 cells of reviews share one teacher" in found.dependent[0]
    assert h4(cells(tasks(3))).dependent == ()


def test_scores_without_seeds_are_averaged_over_their_cells_alone() -> None:
    """Published tables: the variance between tasks holds all noise, so seeds are not needed."""
    found = h4(replace(cells(tasks(6), seeds=1), seeded=False))
    assert found.everywhere == "undecided"
    (average,) = found.averages
    assert average.tau is None and average.cells == 6 and average.finding == "equivalent"
