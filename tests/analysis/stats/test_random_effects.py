"""Averages over cells against statsmodels and their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from raykd.analysis.stats.random_effects import mean_covariance, random_effects

EFFECTS = [-0.3, 0.8, 0.1, 1.4, 0.6, -0.1, 0.9]


def test_mean_and_interval_are_those_of_statsmodels_for_cells_of_one_variance() -> None:
    """Then its weights are equal, whatever its estimate of the variance between cells."""
    variances = np.full(len(EFFECTS), 0.2)
    known = combine_effects(np.array(EFFECTS), variances, method_re="iterated", use_t=True)
    found = random_effects(np.array(EFFECTS), variances)
    assert float(found.mean) == pytest.approx(known.mean_effect_re)
    assert float(found.se) == pytest.approx(np.sqrt(known.var_hksj_re))
    # Paule and Mandel's estimate is the same where all variances are.
    assert float(found.tau) == pytest.approx(np.sqrt(known.tau2))
    low, high = found.interval(0.95)
    assert (float(low), float(high)) == pytest.approx(known.conf_int()[3])


def test_the_tests_are_those_of_a_t_distribution() -> None:
    found = random_effects(np.array(EFFECTS), np.zeros(len(EFFECTS)))
    two_sides = [
        stats.ttest_1samp(EFFECTS, -1.0, alternative="greater").pvalue,
        stats.ttest_1samp(EFFECTS, 1.0, alternative="less").pvalue,
    ]
    assert float(found.p_equivalent(1.0)) == pytest.approx(max(two_sides))
    beyond = stats.ttest_1samp(EFFECTS, 0.2, alternative="greater").pvalue
    assert float(found.p_beyond(0.2)) == pytest.approx(min(1.0, 2 * beyond))


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=12), st.floats(0.01, 4), st.floats(0.05, 2))
def test_the_interval_lies_within_the_margin_exactly_if_tost_passes(
    effects: list[float], variance: float, margin: float
) -> None:
    found = random_effects(np.array(effects), np.full(len(effects), variance))
    low, high = found.interval(0.9)
    p = float(found.p_equivalent(margin))
    if abs(p - 0.05) > 1e-6:
        assert (p < 0.05) == (-margin < low and high < margin)
    assert 0 <= float(found.tau) <= np.std(effects, ddof=1) + 1e-12


def test_cells_that_agree_exactly_decide_by_their_mean() -> None:
    same = random_effects(np.full(5, 0.3), np.zeros(5))
    assert float(same.p_equivalent(1.0)) == 0.0 and float(same.p_equivalent(0.2)) == 1.0


def test_many_analyses_at_once_are_each_as_alone() -> None:
    rng = np.random.default_rng(0)
    effects, variances = rng.normal(size=(4, 6)), rng.uniform(0.1, 1, (4, 6))
    together = random_effects(effects, variances)
    for i in range(4):
        alone = random_effects(effects[i], variances[i])
        assert float(together.mean[i]) == pytest.approx(float(alone.mean))
        assert float(together.p_beyond(0.1)[i]) == pytest.approx(float(alone.p_beyond(0.1)))


def test_the_covariance_of_cells_is_that_of_their_means() -> None:
    rng = np.random.default_rng(1)
    differences = rng.normal(size=(5, 8)) + rng.normal(size=8)
    matrix = np.cov(differences) / 8
    pairs = matrix[np.triu_indices(5, 1)]
    assert float(mean_covariance(differences)) == pytest.approx(pairs.mean())
    wider = random_effects(differences.mean(1), differences.var(1), pairs.mean(), 8)
    apart = random_effects(differences.mean(1), differences.var(1))
    assert float(wider.se) > float(apart.se) and float(apart.freedom) == 4
    # A negative estimate is not held against the others.
    same = random_effects(differences.mean(1), differences.var(1), -0.1, 8)
    assert float(same.se) == float(apart.se)
