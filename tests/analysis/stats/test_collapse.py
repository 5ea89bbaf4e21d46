"""Collapsed runs: flagged where they are far from their arm, counted, bounded, compared by arm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from raykd.analysis.scores.scores import Scores
from raykd.analysis.stats.collapse import apart, collapses, compare, far_below, upper_bound
from raykd.analysis.verdict.judge import judge

from ..made import scores

RNG = np.random.default_rng(6)
LUCK = RNG.normal(0, 1.5, 10)


def table(seeds: int, arms: int, sd: float = 0.3) -> np.ndarray:
    """Scores of seeds that have luck in common."""
    return np.asarray(80 + RNG.normal(0, 1.5, (seeds, 1)) + RNG.normal(0, sd, (seeds, arms)))


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (3, 5), (0, 1)])
def test_the_bound_is_the_exact_one(k: int, n: int) -> None:
    """Of Clopper and Pearson: at it, k or fewer have probability 0.05."""
    assert stats.binom.cdf(k, n, upper_bound(k, n)) == pytest.approx(0.05)
    exact = stats.binomtest(k, n, alternative="less").proportion_ci(0.95, method="exact")
    assert upper_bound(k, n) == pytest.approx(exact.high)


def test_none_of_ten_leaves_a_quarter_open() -> None:
    assert f"{upper_bound(0, 10):.2f}" == "0.26" and upper_bound(4, 4) == 1.0


@pytest.mark.parametrize("seeds", [3, 5, 10, 20])
def test_a_run_that_loses_twenty_margins_is_flagged_and_no_other(seeds: int) -> None:
    found = table(seeds, 6)
    assert not far_below(found, 1.0).any()
    found[1, 2] -= 20
    assert [tuple(map(int, x)) for x in np.argwhere(far_below(found, 1.0))] == [(1, 2)]


def test_luck_of_a_whole_seed_is_no_collapse() -> None:
    found = table(6, 5)
    found[2] -= 20
    assert not far_below(found, 1.0).any()


def test_of_two_runs_neither_is_far_from_its_arm() -> None:
    assert not far_below(np.array([[80.0, 80.0, 80.0], [80.0, 60.0, 80.0]]), 1.0).any()


@pytest.mark.parametrize(("seeds", "fell"), [(3, 2), (4, 2), (5, 3), (6, 3), (10, 7)])
def test_half_of_an_arms_runs_or_more_have_collapsed(seeds: int, fell: int) -> None:
    """Then its median is no middle to be far from."""
    found = table(seeds, 5)
    assert not apart(found, 1.0).any()
    found[:fell, 3] -= 45 + RNG.normal(0, 1, fell)  # far, as the luck of three seeds is wide
    both = far_below(found, 1.0) | apart(found, 1.0)
    assert np.argwhere(both).tolist() == [[seed, 3] for seed in range(fell)]


@pytest.mark.parametrize("arms", [2, 3])
def test_most_arms_that_collapse_under_one_seed_are_flagged(arms: int) -> None:
    """Another arm stands as ever, so that it is no luck of the seed."""
    found = table(6, arms + 1, sd=0.3)
    found[1, 1:] -= 30
    both = far_below(found, 1.0) | apart(found, 1.0)
    assert np.argwhere(both).tolist() == [[1, arm] for arm in range(1, arms + 1)]
    found[1, 0] -= 30
    assert not (far_below(found, 1.0) | apart(found, 1.0)).any()


def test_one_run_far_above_its_arm_is_no_collapse_of_the_others() -> None:
    found = table(5, 4)
    found[2, 1] += 20
    assert not apart(found, 1.0).any()
    found[2, 1] = np.nan
    assert not apart(found, 1.0).any() and not apart(found[:, :1], 1.0).any()


def test_missing_runs_are_not_collapsed() -> None:
    found = table(6, 5)
    found[0, 1] = np.nan
    found[3, 4] -= 30
    assert np.argwhere(far_below(found, 1.0)).tolist() == [[3, 4]]


def test_scores_that_are_all_the_same_do_not_collapse_by_a_step() -> None:
    found = np.full((5, 4), 80.0)
    found[1, 1] -= 1.9  # less than two margins
    assert not far_below(found, 1.0).any()
    found[1, 1] -= 0.2
    assert far_below(found, 1.0).sum() == 1


def test_rates_are_compared_by_arm() -> None:
    strategy, p = compare([("forward", 0, 10), ("reverse", 6, 10), ("random", 0, 10)])
    assert strategy == "reverse" and p is not None
    assert p == pytest.approx(3 * stats.fisher_exact([[6, 4], [0, 20]]).pvalue)
    assert compare([("forward", 0, 10), ("reverse", 0, 10)]) == (None, None)
    alike = compare([("forward", 1, 10), ("reverse", 1, 10)])[1]
    assert alike == 1.0


def with_collapse(k: int, **more: object) -> Scores:
    arms = {a: list(m + LUCK + RNG.normal(0, 0.2, 10)) for a, m in
            {"none": 70, "forward": 80, "reverse": 80, "random": 80}.items()}  # fmt: skip
    for seed in range(k):
        arms["reverse"][seed] = 50.0
    return replace(scores(arms), **more)  # type: ignore[arg-type]


def test_a_verdict_says_what_collapsed_and_what_it_cannot_exclude() -> None:
    (sound,) = judge(with_collapse(0), 1.0).cells
    assert sound.collapses is not None and sound.collapses.p is None
    assert sound.collapses.says.startswith("no run collapsed; a collapse rate of up to 26 %")
    assert {a.collapse_bound for a in sound.arms} == {upper_bound(0, 10)}
    (cell,) = judge(with_collapse(2), 1.0).cells
    reverse = next(a for a in cell.arms if a.strategy == "reverse")
    assert reverse.collapsed == (0, 1) and reverse.collapse_bound == upper_bound(2, 10)
    assert cell.collapses is not None and "reverse 2 of 10" in cell.collapses.says
    assert "up to 51 % is not excluded" in cell.collapses.says
    assert cell.hypothesis("H1").status == "undecided"


def test_an_arm_at_the_majority_class_has_collapsed_whatever_its_scatter() -> None:
    found = with_collapse(0, majority=70.0 + float(LUCK.max()) + 1, resolution=0.1)
    (cell,) = judge(found, 1.0).cells
    assert {a.strategy: len(a.collapsed) for a in cell.arms} == {
        "none": 10, "forward": 0, "reverse": 0, "random": 0,
    }  # fmt: skip
    assert cell.collapses is not None and cell.collapses.strategy == "none"
    assert cell.collapses.p is not None and cell.collapses.p < 0.001


def test_controls_do_not_set_the_bound_that_is_said() -> None:
    found = collapses({"forward": (0, 10), "shuffled": (0, 2)}, ["shuffled"])
    assert "up to 26 %" in found.says
