"""Numbers that are read before a sweep, against the scores of its maps."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from raykd.analysis.stats.search.map_ranking import map_numbers, map_variance, ranking

MAPS = list(product(range(1, 5), repeat=2))


def test_the_number_of_a_map_is_the_mean_over_its_pairs() -> None:
    matrix_ST = np.arange(8.0).reshape(2, 4)
    numbers = dict(zip(MAPS, map_numbers(matrix_ST, MAPS), strict=True))
    assert numbers[1, 1] == (0 + 4) / 2 and numbers[4, 2] == (3 + 5) / 2


def test_the_correlation_is_spearmans_and_a_perfect_number_is_found() -> None:
    rng = np.random.default_rng(0)
    matrix_ST = rng.normal(size=(2, 4))
    numbers = map_numbers(matrix_ST, MAPS)
    noisy = numbers + rng.normal(0, 0.5, len(MAPS))
    expected = stats.spearmanr(numbers, noisy).statistic
    assert ranking(matrix_ST, MAPS, noisy).correlation == pytest.approx(expected)
    perfect = ranking(matrix_ST, MAPS, np.exp(numbers))
    assert perfect.correlation == pytest.approx(1) and perfect.p == 1 / 24
    assert ranking(-matrix_ST, MAPS, numbers).correlation == pytest.approx(-1)


def test_equal_numbers_rank_nothing() -> None:
    equal = ranking(np.ones((2, 4)), MAPS, np.arange(16.0))
    assert (equal.correlation, equal.p) == (0, 1)


def test_a_random_matrix_is_significant_as_often_as_stated() -> None:
    """The maps of one teacher block are alike, which a usual p-value does not know."""
    rng = np.random.default_rng(1)
    of_block_ST = rng.normal(size=(400, 2, 4))
    ours, usual = 0, 0
    for matrix_ST in of_block_ST:
        scores = map_numbers(rng.normal(size=(2, 4)), MAPS)
        ours += ranking(matrix_ST, MAPS, scores).p <= 0.05
        usual += stats.spearmanr(map_numbers(matrix_ST, MAPS), scores).pvalue <= 0.05
    assert ours / 400 <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 400) < usual / 400


def test_variance_of_maps_and_its_noise_ceiling() -> None:
    rng = np.random.default_rng(2)
    maps, seeds = 2000, 4
    scores_MS = (
        rng.normal(0, 2, (maps, 1)) + rng.normal(0, 3, seeds) + rng.normal(0, 1, (maps, seeds))
    )
    variance = map_variance(scores_MS)
    assert variance.sd_map == pytest.approx(2, rel=0.1)
    assert variance.sd_noise == pytest.approx(1, rel=0.1)
    assert variance.reliability == pytest.approx(4 / (4 + 1 / seeds), abs=0.02)
    assert variance.p < 1e-9 and variance.ceiling == pytest.approx(np.sqrt(16 / 17), abs=0.01)
    nothing = map_variance(rng.normal(size=(maps, seeds)))
    assert nothing.reliability < 0.2 and nothing.p > 0.001
