"""Runs that failed or are not there hold an answer back, unless it holds at their worst."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raykd.analysis.scores.from_runs import from_trials
from raykd.analysis.scores.scores import Problem, Scores
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.verdict import Cell

from ..made import scores
from .test_loading import SWEEP, Trial

RNG = np.random.default_rng(4)
LUCK = RNG.normal(0, 1.5, 10)
IDS = ("H1", "H2", "H3", "H5")


def arm(mean: float, n: int = 10, sd: float = 0.2) -> list[float]:
    return list(mean + LUCK[:n] + RNG.normal(0, sd, n))


def lose(found: Scores, strategy: str, *seeds: int, say: bool = True) -> Scores:
    """Without these runs; `say`: with their loader's word that they failed."""
    kept = tuple(s for s in found.items if s.strategy != strategy or s.seed not in seeds)
    control = any(s.control for s in found.items if s.strategy == strategy)
    lost = Problem("failed", f"{strategy} failed", "reviews", "copied", "3", strategy, control,
                   seeds=seeds)  # fmt: skip
    return replace(found, items=kept, problems=(*found.problems, *([lost] if say else [])))


def cell(found: Scores) -> Cell:
    (only,) = judge(found, 1.0).cells
    return only


WHOLE = scores(
    {"none": arm(77), "forward": arm(80), "reverse": arm(80.1), "random": arm(79.9),
     "shuffled": arm(76.5)}, controls=["shuffled"],
)  # fmt: skip


@pytest.mark.parametrize("say", [True, False], ids=["failed", "a table that lacks them"])
def test_an_arm_that_lacks_four_of_ten_seeds_holds_everything_back(say: bool) -> None:
    assert {h.status for h in cell(WHOLE).hypotheses} == {"supported"}
    found = cell(lose(WHOLE, "reverse", 0, 3, 5, 9, say=say))
    for h in found.hypotheses:
        assert (h.status, h.withheld, h.missing, h.more_seeds) == ("undecided", True, 4, None)
        assert "withheld" in h.says and "4 " in h.says and "worst" in h.says
    reverse = next(c for c in found.to_forward if c.strategy == "reverse")
    assert reverse.finding == "undecided" and reverse.missing is not None
    assert reverse.missing.seeds == (0, 3, 5, 9)
    assert next(c for c in found.to_forward if c.strategy == "random").finding == "equivalent"
    (lacking,) = [a for a in found.arms if a.missing]
    assert (lacking.strategy, lacking.missing) == ("reverse", (0, 3, 5, 9))
    assert lacking.failed == ((0, 3, 5, 9) if say else ())
    assert found.lost is not None and found.lost.strategy == "reverse"
    assert found.lost.p is not None and found.lost.p < 0.05
    assert "reverse 4 of 10" in found.lost.says


@pytest.mark.parametrize(
    ("strategy", "held"),
    [("forward", {"H1", "H2", "H3", "H5"}), ("none", {"H2", "H3"}), ("shuffled", set())],
)
def test_a_lost_reference_holds_back_what_rests_on_it(strategy: str, held: set[str]) -> None:
    found = cell(lose(WHOLE, strategy, 0, 1, 2, 3))
    assert {h.id for h in found.hypotheses if h.withheld} == held
    assert found.controls is not None
    assert (found.controls.status == "supported") == (strategy != "shuffled")


def test_a_gain_far_above_every_score_without_matching_holds_at_the_worst() -> None:
    far = scores({"none": arm(60), "forward": arm(80), "reverse": arm(80.1)})
    h2 = cell(lose(far, "reverse", 0, 1)).hypothesis("H2")
    assert (h2.status, h2.missing) == ("supported", 2) and "worst" in h2.says


def test_what_holds_at_the_worst_is_said_with_it() -> None:
    """All scores are alike, so that the worst seen is no worse than the rest."""
    near = {a: [80 + 0.1 * x for x in RNG.normal(0, 1, 10)] for a in ("forward", "reverse", "last")}
    found = cell(lose(scores(near), "reverse", 7))
    h1 = found.hypothesis("H1")
    assert (h1.status, h1.withheld, h1.missing) == ("supported", False, 1)
    assert "worst" in h1.says
    gone = cell(lose(lose(scores(near), "reverse", 7), "last", 2, 5))
    assert gone.hypothesis("H1").status == "supported" and "worst" in gone.hypothesis("H1").says


def test_a_difference_is_no_finding_where_the_lost_runs_could_undo_it() -> None:
    """The best of an arm that lost its bad runs; a failed run is taken at the worst score seen."""
    ahead = scores({"none": arm(70), "forward": arm(80), "reverse": arm(83)})
    whole = cell(ahead)
    assert whole.hypothesis("H5").status == whole.hypothesis("H1").status == "contradicted"
    found = cell(lose(ahead, "reverse", 1, 2))
    assert {h.id: h.withheld for h in found.hypotheses if h.id in ("H1", "H5")} == {
        "H1": True, "H5": True,
    }  # fmt: skip
    behind = scores({"none": arm(70), "forward": arm(80), "reverse": arm(75)})
    still = cell(lose(behind, "reverse", 1, 2))
    assert still.hypothesis("H1").status == "contradicted"


def test_controls_are_asked_for_under_their_own_seeds() -> None:
    few = scores(
        {"none": arm(70), "forward": arm(80), "reverse": arm(80.1), "shuffled": arm(74, 5)},
        controls=["shuffled"],
    )
    found = cell(few)
    assert found.lost is None and found.controls is not None
    assert found.controls.status == "supported"
    gone = cell(lose(few, "shuffled", *range(5)))
    assert gone.controls is None
    two = {"none": arm(70), "forward": arm(80), "reverse": arm(80), "a": arm(74), "b": arm(74)}
    lost = cell(lose(scores(two, controls=["a", "b"]), "b", *range(10)))
    assert lost.controls is not None and lost.controls.status == "undecided"
    assert "no paired score of b" in lost.controls.says


def test_trials_that_failed_are_lost_by_seed() -> None:
    trials = [Trial(f"{s}{i}", s, i) for s in ("forward", "reverse") for i in range(3)]
    failed = Trial("reverse3", "reverse", 3, status="failed", error="diverged at step 9")
    trials += [failed, Trial("forward3", "forward", 3)]
    (problem,) = from_trials(trials, **SWEEP).problems
    assert (problem.kind, problem.seeds) == ("failed", (3,))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000), st.floats(0.05, 2), st.floats(-2, 2),
    st.lists(st.tuples(st.sampled_from(["none", "forward", "reverse", "random"]),
                       st.integers(0, 5)), max_size=8),
)  # fmt: skip
def test_missing_runs_never_make_an_answer_surer(
    seed: int, sd: float, effect: float, lost: list[tuple[str, int]]
) -> None:
    """Status and interval agree, and what is decided with runs missing is what the finished runs
    say; wherever the missing ones lie in the range of what was seen, no claim that is supported
    is false of the completed seeds' means."""
    rng = np.random.default_rng(seed)
    means = {"none": -2.0, "forward": 0.0, "reverse": effect, "random": 0.2}
    whole = scores({a: list(m + rng.normal(0, sd, 6)) for a, m in means.items()})
    found = whole
    for strategy, index in lost:
        if sum(s.strategy == strategy for s in found.items) > 2:
            found = lose(found, strategy, index)
    judged = cell(found)
    for h in judged.hypotheses:
        if h.interval is None:
            continue
        low, high = h.interval
        inside = {"H1": -1 < low and high < 1, "H2": low > 0, "H3": high < 0.5, "H5": high < 1}
        if h.status == "supported":
            assert inside[h.id] and not h.withheld
        elif h.status == "undecided":
            assert not inside[h.id]
    for c in judged.to_forward:
        if c.interval is None:
            continue
        low, high = c.interval
        assert (c.finding == "equivalent") == (-1 < low and high < 1)
        assert (c.finding == "different") == (low > 1 or high < -1)
