"""Intervals with one variance for all arms: exact for equal noise, narrower, and for display."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import pooled as simulated
from raykd.analysis.stats.pooled import ERRORS, bounds, pooled
from raykd.analysis.verdict.judge import judge

from ..made import scores

TABLE = np.random.default_rng(3).normal(80, 1, (5, 4))


def test_two_arms_have_the_paired_interval() -> None:
    from raykd.analysis.stats.paired import interval, summary

    sd, low, high = bounds(TABLE[:, :2], 0.9)
    mean, own = summary(TABLE[:, 1] - TABLE[:, 0])
    assert sd == pytest.approx(own)
    assert (low[0], high[0]) == pytest.approx(interval(mean, own, 5, 0.9))


def test_the_luck_of_a_seed_and_the_level_of_an_arm_are_no_noise() -> None:
    shifted = TABLE + np.arange(5)[:, None] * 7 + np.arange(4) * 3
    assert bounds(shifted, 0.9)[0] == pytest.approx(bounds(TABLE, 0.9)[0])
    found = pooled(["forward", "a", "b", "c"], TABLE)
    assert found is not None and (found.df, found.arms, found.n) == (12, 4, 5)
    widths = {round(p.interval[1] - p.interval[0], 9) for p in found.intervals}
    assert len(widths) == 1
    assert found.intervals[0].effect == pytest.approx((TABLE[:, 1] - TABLE[:, 0]).mean())


def test_the_sd_is_at_least_a_step_and_equal_scores_have_no_interval() -> None:
    assert bounds(TABLE, 0.9, resolution=50)[0] == 50
    assert pooled(["forward", "a", "b"], np.ones((5, 3))) is None
    assert pooled(["forward", "a"], TABLE[:, :2]) is None
    assert pooled(["forward", "a", "b"], TABLE[:1, :3]) is None


def test_the_errors_are_those_of_at_least_as_many_arms() -> None:
    rng = np.random.default_rng(0)
    errors = {}
    for arms in (3, 4, 5, 33, 34):
        found = pooled([f"s{i}" for i in range(arms)], rng.normal(size=(4, arms)))
        assert found is not None
        errors[arms] = found.errors
    assert errors == {3: ERRORS[3], 4: ERRORS[5], 5: ERRORS[5], 33: ERRORS[33], 34: None}


@pytest.mark.parametrize("arms", [3, 5])
def test_the_stated_errors_are_the_simulated_ones(arms: int) -> None:
    of_sd, of_variance = ERRORS[arms]
    for noise, stated in (("equal", 0.1), ("SD x 2.5", of_sd), ("variance x 2.5", of_variance)):
        found = simulated.errors(noise, arms, 5, 4000)
        assert found.pooled == pytest.approx(stated, abs=0.025)
        assert found.paired == pytest.approx(0.1, abs=0.02)


def test_it_stands_beside_the_verdict_and_decides_nothing() -> None:
    arms = {"none": [70, 71, 72], "forward": [80, 81, 82.0], "reverse": [80.1, 81.4, 81.9],
            "random": [80.3, 80.9, 81.8]}  # fmt: skip
    (cell,) = judge(scores(arms)).cells
    assert cell.pooled is not None
    assert [p.strategy for p in cell.pooled.intervals] == ["random", "reverse"]
    by_strategy = {c.strategy: c for c in cell.to_forward}
    for p in cell.pooled.intervals:
        assert p.effect == pytest.approx(by_strategy[p.strategy].effect)
    without_forward = {a: s for a, s in arms.items() if a != "forward"}
    assert judge(scores(without_forward)).cells[0].pooled is None
