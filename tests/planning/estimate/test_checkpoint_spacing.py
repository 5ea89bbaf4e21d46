"""How far apart checkpoints are, from what one costs and how often machines are lost."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from raykd.config.budget import Budget, priced
from raykd.config.cluster import Cluster
from raykd.errors import UserError
from raykd.planning.estimate.checkpoint_spacing import (
    GB,
    HOUR,
    LEAST_SECONDS,
    MOST_SHARE,
    Spacing,
    optimal_interval,
)

costs = st.floats(1e-3, 1e5)
rates = st.floats(1e-8, 1e-2)  # losses per second
sizes = st.floats(0, 1e12)


def waste(interval: float, cost: float, mean: float) -> float:
    """Daly's equation 13: how much longer work takes that stores a checkpoint after every interval,
    with random losses."""
    return math.expm1((interval + cost) / mean) * mean / interval


@given(st.floats(1e-2, 1e4), st.floats(1e4, 1e8))
def test_no_other_interval_is_much_cheaper(cost: float, mean: float) -> None:
    own = optimal_interval(cost, mean)
    others = [own * 2 ** (i / 4) for i in range(-8, 9)]
    best = min(waste(other, cost, mean) for other in others)
    assert waste(own, cost, mean) <= 1.02 * best


@given(costs, sizes, rates, st.floats(0, 1e4))
def test_an_interval_is_affordable_and_no_longer_than_a_machine_lives(
    seconds: float, nbytes: float, rate: float, per_gb: float
) -> None:
    """Checkpoints take no more than their share, unless a loss is expected before that; and there
    is one before the next loss is expected."""
    spacing = Spacing(rate, per_gb)
    interval, cost = spacing.interval(seconds, nbytes), spacing.cost(seconds, nbytes)
    assert interval >= LEAST_SECONDS
    assert interval >= min(cost / MOST_SHARE, 1 / rate) * (1 - 1e-9)
    assert interval <= max(LEAST_SECONDS, 1 / rate, cost / MOST_SHARE) * (1 + 1e-9)
    assert interval <= max(LEAST_SECONDS, 1.001 / rate)


@given(costs, sizes, rates)
def test_dearer_checkpoints_are_rarer_and_frequent_losses_bring_more(
    seconds: float, nbytes: float, rate: float
) -> None:
    interval = Spacing(rate).interval(seconds, nbytes)
    assert Spacing(rate / 10).interval(seconds, nbytes) >= interval
    free, paid = (Spacing(rate, per_gb).cost(seconds, nbytes) for per_gb in (0, 100))
    assert paid == pytest.approx(free + 100 * nbytes / GB)


def test_the_first_one_is_there_before_any_was_measured() -> None:
    spacing = Spacing(0.01 / HOUR)
    assert LEAST_SECONDS <= spacing.first(5 * GB) <= spacing.interval(5, 5 * GB)
    assert spacing.first(5 * GB) < spacing.interval(50, 5 * GB)
    assert math.isinf(Spacing(0.0).first(5 * GB))


def test_a_file_states_the_rate_and_the_prices() -> None:
    cluster = Cluster(workers=2, preemption_rate=0.05, checkpoint_price=0.06)
    spacing = Spacing.of(cluster, Budget(price=0.4), gpus=1.0)
    assert spacing.losses_per_second == pytest.approx(2 * 0.05 / HOUR)
    # A GB costs as much as so many seconds of two GPUs.
    assert spacing.seconds_per_gb == pytest.approx(0.06 / (2 * 0.4) * HOUR)
    assert Spacing.of(cluster, Budget(price=0.4), gpus=0).seconds_per_gb == spacing.seconds_per_gb
    assert Spacing.of(Cluster(), Budget(), 1.0).seconds_per_gb == 0
    with pytest.raises(ValidationError):
        Cluster(preemption_rate=-1)


def test_a_price_of_checkpoints_needs_one_of_machines() -> None:
    with pytest.raises(UserError, match=r"cluster.checkpoint_price: 0.06 needs .* budget.price"):
        priced(Budget(), "s.yaml", 0.06)
    priced(Budget(price=1.0), "s.yaml", 0.06)
    priced(Budget(), "s.yaml", 0.0)
