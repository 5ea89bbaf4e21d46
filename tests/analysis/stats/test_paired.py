"""The tests beneath the verdict, against statsmodels and scipy on the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from raykd.analysis.stats.paired import (
    claim,
    holm,
    interval,
    last_step,
    p_above,
    p_below,
    p_beyond,
    p_tost,
    summary,
)

D = np.array([0.3, -0.8, 0.5, 0.1, -0.2, 0.9])
P = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def test_tost_is_statsmodels() -> None:
    x = np.array([80.1, 79.2, 80.5, 81.0, 79.9, 80.4])
    mean, sd = summary(D)
    for margin in (0.2, 0.7, 1.5):
        expected, _, _ = ttost_paired(x + D, x, -margin, margin)
        assert p_tost(mean, sd, len(D), margin) == pytest.approx(expected)


def test_one_sided_p_values_and_intervals_are_scipys() -> None:
    mean, sd = summary(D)
    for bound in (-0.4, 0.0, 0.6):
        above = stats.ttest_1samp(D, bound, alternative="greater").pvalue
        below = stats.ttest_1samp(D, bound, alternative="less").pvalue
        assert p_above(mean, sd, len(D), bound) == pytest.approx(above)
        assert p_below(mean, sd, len(D), bound) == pytest.approx(below)
    found = interval(mean, sd, len(D), 0.9)
    assert found == pytest.approx(tuple(stats.ttest_1samp(D, 0).confidence_interval(0.9)))


def test_beyond_is_the_two_sided_test_where_the_margin_is_nothing() -> None:
    mean, sd = summary(D)
    assert p_beyond(mean, sd, len(D), 0.0) == pytest.approx(stats.ttest_1samp(D, 0).pvalue)


@settings(max_examples=12, deadline=None)
@given(P)
def test_holm_is_statsmodels(p: list[float]) -> None:
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_of_many_rows_is_holm_of_each() -> None:
    p = np.random.default_rng(0).random((8, 5))
    assert holm(p) == pytest.approx(np.array([multipletests(row, method="holm")[1] for row in p]))


@given(P, st.floats(0.001, 0.4))
def test_a_claim_about_all_needs_each_and_its_opposite_needs_one(
    p: list[float], alpha: float
) -> None:
    against = [1 - x for x in p]
    supported, contradicted = claim(p, against, alpha)
    assert supported == (max(p) <= alpha)  # intersection-union: each at alpha, no correction
    assert contradicted == (min(against) * len(p) <= alpha)


@given(P, st.floats(0.001, 0.4))
def test_holm_stops_at_one_level(p: list[float], alpha: float) -> None:
    level = last_step(p, alpha)
    assert alpha / len(p) <= level <= alpha
    assert [x <= level for x in p] == list(holm(p) <= alpha)


def test_no_variance_is_certain_except_at_the_bound() -> None:
    assert summary([0.0, 0.0, 0.0]) == (0.0, 0.0)
    assert p_tost(0.0, 0.0, 2, 1.0) == 0.0
    assert p_tost(2.0, 0.0, 2, 1.0) == 1.0
    assert p_tost(1.0, 0.0, 2, 1.0) == 0.5
    assert p_beyond(2.0, 0.0, 2, 1.0) == 0.0


def test_two_equal_differences_of_a_coarse_score_prove_nothing() -> None:
    """A test set of 300: a step is a third of a point, and two seeds often differ alike."""
    step = 100 / 300
    mean, sd = summary([step, step], step)
    assert sd == step and p_tost(mean, sd, 2, 1.0) > 0.05
    assert summary([step, step])[1] == 0.0
