"""The hidden weight as a factor of the verdict; controls and sampled maps beside the strategies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from raykd.analysis.scores.loss_weights import TUNED, over_weights
from raykd.analysis.scores.scores import Problem, Score, Scores
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.rivals import tuned_to

SEEDS = range(4)


def arm(
    strategy: str, weight: str, test: float, select: float | None, seeds: Any = SEEDS
) -> list[Score]:
    return [
        Score(
            "reviews", "copied", "3", strategy, s, "accuracy", test + s / 10,
            select=None if select is None else select + s / 10, weight=weight,
        )
        for s in seeds
    ]  # fmt: skip


ITEMS = [
    *arm("none", "", 70, 71), *arm("forward", "1", 80, 81), *arm("forward", "0.3", 83, 80),
    *arm("reverse", "1", 79, 78), *arm("reverse", "0.3", 77, 79),
]  # fmt: skip


def judged(items: list[Score], problems: list[Problem] | None = None) -> Any:
    found, named = over_weights(items, problems or [], True)
    return judge(Scores(found, "accuracy", problems=named, resolution=0.1))


def means(cell: Any) -> dict[str, float]:
    return {a.strategy: round(a.mean - 0.15, 6) for a in cell.arms}


def test_each_weight_is_a_cell_and_the_tuned_one_takes_each_strategys_best_on_select() -> None:
    cells = {c.weight: c for c in judged(ITEMS).cells}
    assert list(cells) == [TUNED, "0.3", "1"]
    assert means(cells["0.3"]) == {"none": 70, "forward": 83, "reverse": 77}
    assert means(cells["1"]) == {"none": 70, "forward": 80, "reverse": 79}
    # By select, not by test: forward's test score is higher at 0.3.
    # The first seed only chooses, so means are over the other three.
    tuned = {a.strategy: round(a.mean - 0.2, 6) for a in cells[TUNED].arms}
    assert tuned == {"none": 70, "forward": 80, "reverse": 77}
    assert {a.seeds for a in cells[TUNED].arms} == {(1, 2, 3)}
    chosen = {a.strategy: a.chosen for a in cells[TUNED].arms}
    assert chosen == {"none": "", "forward": "1", "reverse": "0.3"}
    assert {h.weight for h in cells[TUNED].hypotheses} == {TUNED}


def test_a_seed_is_judged_at_the_weight_that_the_seeds_before_it_chose() -> None:
    """Case 6: no run takes part in the choice of its own weight."""
    better_at = {0: "1", 1: "0.3", 2: "0.3", 3: "1"}  # by how much each seed prefers its weight
    items = [
        replace(s, select=80.0 + (10 * (s.weight == better_at[s.seed])))
        for w in ("0.3", "1") for s in arm("forward", w, 80, 80)
    ]  # fmt: skip
    cells = judged([*items, *arm("none", "", 70, 71), *arm("reverse", "1", 79, 78),
                    *arm("reverse", "0.3", 77, 79)]).cells  # fmt: skip
    (tuned,) = (a for c in cells if c.weight == TUNED for a in c.arms if a.strategy == "forward")
    assert tuned.seeds == (1, 2, 3)
    # Seed 0 chose 1; seeds 0 and 1 are even, so the smaller; seeds 0 to 2 choose 0.3.
    assert tuned.choices == ("1", "0.3", "0.3")
    assert (tuned.chosen, tuned_to(tuned)) == ("0.3", "0.3 (2 of 3 seeds)")
    # What a seed itself has on select changes nothing of how it is judged.
    changed = [replace(s, select=0.0) if s.seed == 3 and s.weight == "0.3" else s for s in items]
    again = over_weights(changed, [], True)[0]
    assert {s.seed: s.chosen for s in again if s.weight == TUNED} == {1: "1", 2: "0.3", 3: "0.3"}


def test_a_loss_is_tuned_the_other_way() -> None:
    found, _ = over_weights(ITEMS, [], False)
    assert {s.chosen for s in found if s.weight == TUNED and s.strategy == "forward"} == {"0.3"}


def test_with_one_weight_there_is_no_such_factor() -> None:
    one = [s for s in ITEMS if s.weight != "0.3"]
    (cell,) = judged(one).cells
    assert cell.weight == "" and means(cell) == {"none": 70, "forward": 80, "reverse": 79}


def test_without_select_scores_nothing_is_tuned() -> None:
    cells = judged([replace(s, select=None) for s in ITEMS]).cells
    assert [c.weight for c in cells] == ["0.3", "1"]


def test_a_strategy_that_was_not_tried_at_every_weight_is_not_tuned() -> None:
    """Equal tuning budgets: it is named, and nothing is said of all strategies."""
    problem = Problem("failed", "last failed", "reviews", "copied", "3", "last", weight="1")
    found = judged([*ITEMS, *arm("random", "1", 90, 90)], [problem])
    tuned = next(c for c in found.cells if c.weight == TUNED)
    assert set(means(tuned)) == {"none", "forward", "reverse"}
    says = [p.says for p in tuned.problems]
    for name in ("random", "last"):
        assert any(s.startswith(f"{name} is not tuned") for s in says)
    assert "random, last" in tuned.hypothesis("H2").says
    at_one = next(c for c in found.cells if c.weight == "1")
    assert "random" in means(at_one) and "last failed" in [p.says for p in at_one.problems]


# Controls and sampled maps


def test_matching_is_held_against_controls_of_fewer_seeds() -> None:
    control = [replace(s, control=True) for s in arm("mean_forward", "", 72, 72, range(2))]
    (cell,) = judged([*arm("none", "", 70, 71), *arm("forward", "", 80, 80),
                      *arm("reverse", "", 80.5, 80), *control]).cells  # fmt: skip
    assert cell.controls is not None and cell.controls.status == "supported"
    assert [c.n for c in cell.controls.comparisons] == [2]
    assert "mean_forward" not in {c.strategy for c in (*cell.to_forward, *cell.to_none)}
    assert not cell.problems  # fewer seeds of a control are a choice
    assert [(a.strategy, a.control) for a in cell.arms][-1] == ("mean_forward", True)


def test_sampled_maps_stand_beside_the_strategies() -> None:
    """They say what maps in general do; H1 to H5 are about the strategies."""
    rng = np.random.default_rng(0)
    drawn = [
        replace(s, score=s.score + rng.normal(0, 0.05), map=f"[{i}, 1, 1]")
        for i in range(1, 7)
        for s in arm(f"uniform_random_{i:02}", "", 60 + 3 * i, 70)
    ]
    fresh = [replace(s, map=f"[1, 2, {s.seed}]") for s in arm("uniform_random", "", 80, 80)]
    named = [*arm("none", "", 70, 71), *arm("forward", "", 80, 80), *arm("reverse", "", 80, 80)]
    fresh, named = (
        [replace(s, score=s.score + rng.normal(0, 0.05)) for s in scores]
        for scores in (fresh, named)
    )
    problem = Problem("missing", "no", "reviews", "copied", "3", "uniform_random_07")
    (cell,) = judged([*named, *fresh, *drawn], [problem]).cells
    assert {c.strategy for c in cell.to_forward} == {"reverse", "uniform_random"}
    assert cell.hypothesis("H1").status == "supported"
    assert cell.sampled is not None and cell.sampled.design == "crossed"
    assert (cell.sampled.maps, cell.sampled.seeds) == (6, 4)
    assert cell.sampled.share > 0.99
    assert cell.shares is not None and cell.shares.strategies == 3
    assert cell.gap is not None and "uniform_random_01" not in (cell.gap.best, cell.gap.worst)
    assert means(cell)["uniform_random_06"] == pytest.approx(78, abs=0.2)
