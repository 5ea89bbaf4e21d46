"""Sizes of a proposal: margins that the rows can show, shares that leave rows for each split."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raykd.analysis.stats.power import POWER, all_equivalent_power
from raykd.proposal import sizes

ROWS = st.integers(40, 2_000_000)


@given(test_rows=st.integers(30, 100_000), seeds=st.sampled_from([5, 10]))
def test_a_margin_is_shown_by_the_seeds_and_never_finer_than_the_rows(
    test_rows: int, seeds: int
) -> None:
    margin, sd = sizes.margin(test_rows, seeds), sizes.expected_sd(test_rows)
    assert 100 / test_rows <= margin / 2, "the verdict calls such scores coarse"
    power = all_equivalent_power(seeds, sd, margin, 0.0, 0.05, sizes.COMPARISONS)
    assert power >= POWER - 1e-6
    assert sizes.margin(2 * test_rows, seeds) <= margin <= sizes.MARGINS[-1]


def test_the_expected_noise_is_that_of_the_findings() -> None:
    """About 1.75 points on 1,217 rows, where margin 2 and ten seeds decided H1."""
    assert 1.6 < sizes.expected_sd(1217) < 1.9
    assert sizes.margin(1217, 10) in (2, 2.5)


@given(rows=ROWS)
def test_shares_leave_most_rows_for_training(rows: int) -> None:
    shares = sizes.shares(rows, ())
    test, select = rows * shares["test_share"], rows * shares["select_share"]
    assert test + select <= 0.5 * rows + 1 and select <= 1001 * 1.05 and test <= 4001 * 1.05
    assert test >= min(0.39 * rows, 390)
    assert list(sizes.shares(rows, {"test"})) == ["select_share"]
    assert list(sizes.shares(rows, {"select"})) == ["select_share"]
    assert sizes.shares(rows, {"select", "test"}) == {}


@given(rows=ROWS)
def test_steps_lie_between_too_few_and_too_many(rows: int) -> None:
    steps = sizes.steps(rows)
    assert sizes.FEWEST_STEPS <= steps <= sizes.MOST_STEPS
    assert sizes.seeds(steps) >= 5 and sizes.steps(2 * rows) >= steps


def test_long_texts_get_a_longer_limit() -> None:
    assert sizes.max_length(["a few words"] * 50) is None
    assert sizes.max_length(["word " * 150] * 50) == 256
    assert sizes.max_length(["word " * 5000] * 50) == 512
    assert sizes.max_length(["a few words"] * 97 + ["word " * 5000] * 3) is None
