"""Sizes of a proposal: margins that the rows can show, shares that leave rows for each split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.analysis.stats.power import POWER, all_equivalent_power
from raykd.proposal import sizes

ROOT = Path(__file__).parents[2]
ROWS = st.integers(40, 2_000_000)


@given(test_rows=st.integers(30, 100_000), seeds=st.sampled_from([5, 10]))
def test_a_margin_is_shown_by_the_seeds_and_neither_finer_than_the_rows_nor_generous(
    test_rows: int, seeds: int
) -> None:
    margin, sd = sizes.margin(test_rows, seeds), sizes.largest_expected_sd(test_rows)
    assert 100 / test_rows <= margin / 2, "the verdict calls such scores coarse"
    power = all_equivalent_power(seeds, sd, margin, 0.0, 0.05, sizes.COMPARISONS)
    assert power >= POWER - 1e-6 or margin == sizes.LARGEST_MARGIN
    assert sizes.margin(2 * test_rows, seeds) <= margin <= sizes.LARGEST_MARGIN


RIGHT = st.floats(0.5, 0.95)


@given(test_rows=st.integers(30, 4_000), right=RIGHT, seed=st.integers(0, 99))
def test_the_largest_sd_is_that_of_students_with_independent_errors(
    test_rows: int, right: float, seed: int
) -> None:
    """Simulated: the formula is arithmetic, not a measurement."""
    rng = np.random.default_rng(seed)
    scores = 100 * rng.binomial(test_rows, right, (2, 20_000)) / test_rows
    simulated = (scores[0] - scores[1]).std()
    assert sizes.largest_expected_sd(test_rows, right) == pytest.approx(simulated, rel=0.05)
    assert sizes.largest_expected_sd(test_rows, right) <= sizes.largest_expected_sd(test_rows)


def test_the_largest_sd_covers_the_measured_ones() -> None:
    """These figures of the studies with copied blocks stand in the function's docstring."""
    for study, measured in (("study_minilm", 1.97), ("study_minilm_init", 1.57)):
        table = pd.read_csv(ROOT / "studies" / study / "scores.csv")
        table = table[~table.control.astype(bool) & (table.phase == "confirm")]
        scores = table.pivot_table(index="seed", columns="strategy", values="score")
        differences = scores.drop(columns="forward").sub(scores["forward"], axis=0)
        sd = float(np.sqrt((differences.std() ** 2).mean()))
        assert sd == pytest.approx(measured, abs=0.01) and set(table.examples) == {1217}
        assert 0.75 * sizes.largest_expected_sd(1217) < sd < sizes.largest_expected_sd(1217)
    assert sizes.margin(1217, 10) == 2.5


@given(margin=st.sampled_from(sizes.MARGINS), seeds=st.integers(3, 20), right=RIGHT)
def test_the_rows_for_a_margin_are_the_fewest_that_show_it(
    margin: float, seeds: int, right: float
) -> None:
    rows = sizes.rows_for(margin, seeds, right)
    assert sizes.shown(rows, seeds, right) <= margin * (1 + 1e-9)
    assert rows == 1 or sizes.shown(rows - 1, seeds, right) > margin


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
    assert sizes.LEAST_STEPS <= steps <= sizes.MOST_STEPS
    assert steps >= sizes.USUAL_STEPS or rows <= 512
    passes = steps * sizes.batch() / rows
    assert passes >= 3 or steps == sizes.MOST_STEPS
    assert passes <= 2 * sizes.USUAL_PASSES or steps == sizes.LEAST_STEPS
    assert sizes.seeds(steps) >= 5 and sizes.steps(2 * rows) >= steps


def test_long_texts_get_a_longer_limit() -> None:
    assert sizes.max_length(["a few words"] * 50) is None
    assert sizes.max_length(["word " * 150] * 50) == 256
    assert sizes.max_length(["word " * 5000] * 50) == 512
    assert sizes.max_length(["a few words"] * 97 + ["word " * 5000] * 3) is None
