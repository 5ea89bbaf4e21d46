"""The largest gap and H3's ratio: by hand, and their claims against their own intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from raykd.analysis.stats import gap
from raykd.analysis.stats import spread as ratio

TABLE = np.array([[80.0, 81.5, 79.0], [80.5, 82.5, 79.0], [79.5, 81.0, 78.8], [80.2, 82.0, 79.4]])
NONE = np.array([74.0, 75.0, 73.5, 74.2])


def test_the_gap_by_hand() -> None:
    found = gap.largest(["a", "b", "c"], TABLE, 0.05)
    d = TABLE[:, 1] - TABLE[:, 2]
    se = d.std(ddof=1) / 2
    assert (found.best, found.worst, found.n) == ("b", "c", 4)
    assert found.effect == pytest.approx(d.mean())
    assert found.interval[0] == pytest.approx(d.mean() - stats.t.ppf(1 - 0.025 / 6, 3) * se)
    assert found.interval[1] == pytest.approx(d.mean() + stats.t.ppf(0.975, 3) * se)


def test_the_ratio_is_fiellers_where_one_pair_rules() -> None:
    """Two strategies: the upper bound is that of a ratio of two paired means."""
    x = TABLE[:, 1:]
    found = ratio.against_gain(x, NONE, 0.05)
    spread, gain = x[:, 0] - x[:, 1], x.mean(axis=1) - NONE
    assert found.ratio == pytest.approx(spread.mean() / gain.mean())
    assert found.interval is not None
    at = spread - found.interval[1] * gain
    t = at.mean() / (at.std(ddof=1) / 2)
    assert t == pytest.approx(-stats.t.ppf(0.95, 3))
    at = spread - found.interval[0] * gain
    assert at.mean() / (at.std(ddof=1) / 2) == pytest.approx(stats.t.ppf(1 - 0.05 / 4, 3))


def test_matching_that_hurts_contradicts_and_has_no_ratio() -> None:
    found = ratio.against_gain(TABLE, NONE + 20, 0.05)
    assert (found.ratio, found.interval) == (None, None)
    assert ratio.claim(TABLE, NONE + 20, 0.05) == (False, True)


def test_the_bootstrap_is_left_out_under_five_seeds() -> None:
    assert ratio.against_gain(TABLE, NONE, 0.05).bootstrap is None
    more = np.vstack([TABLE, TABLE + 0.1])
    found = ratio.against_gain(more, np.tile(NONE, 2), 0.05).bootstrap
    assert found is not None and found[0] < 3 / 6.5 < found[1] + 0.2


numbers = st.floats(-3, 3).map(lambda x: round(x, 2))


@settings(max_examples=200)
@given(
    st.integers(2, 6).flatmap(
        lambda n: st.lists(st.lists(numbers, min_size=4, max_size=4), min_size=n, max_size=n)
    ),
    st.floats(-2, 8),
)
def test_the_ratios_interval_and_its_claim_agree(rows: list[list[float]], gain: float) -> None:
    table = np.array(rows) + np.random.default_rng(0).normal(0, 1e-3, (len(rows), 4))
    scores, none = table[:, :3], table[:, 3] - gain
    supported, contradicted = ratio.claim(scores, none, 0.05)
    found = ratio.against_gain(scores, none, 0.05)
    if found.interval is None:
        assert contradicted
        return
    low, high = found.interval
    assert 0 <= low <= high
    assert not (supported and contradicted)
    assert bool(supported) == (high < ratio.SMALL)
    if contradicted:
        assert low > ratio.SMALL
