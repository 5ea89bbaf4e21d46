"""When the workers of a cohort store checkpoints: all at the same steps, whatever their clocks."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from raykd.cluster.checkpoint_clock import AGAIN_SECONDS, ASK_SECONDS, CheckpointClock
from raykd.planning.estimate.checkpoint_spacing import LEAST_SECONDS, Spacing

RATE = Spacing(0.01 / 3600)


class Workers:
    """A cohort's workers, each with a clock of its own speed. Step by step, as `distill` calls."""

    def __init__(
        self, speeds: list[float], step_seconds: float, every: float | None = None,
        evaluations: int = 10**9, takes: float = 1.0,
    ) -> None:  # fmt: skip
        self.now, self.step, self.takes = 0.0, 0, takes
        self.step_seconds, self.evaluations = step_seconds, evaluations
        self.clocks = [
            CheckpointClock(every, RATE, 1e9, clock=lambda s=s: s * self.now)  # type: ignore[misc]
            for s in speeds
        ]
        self.asked, self.stored = list[float](), list[float]()

    def run(self, steps: int, notice_at: float = float("inf"), fails_until: float = -1.0) -> None:
        for _ in range(steps):
            self.step, self.now = self.step + 1, self.now + self.step_seconds
            asks = {clock.asks_at(self.step) for clock in self.clocks}
            assert len(asks) == 1  # else some would wait for others that never come
            if not (asks.pop() or self.step % self.evaluations == 0):
                continue
            self.asked.append(self.now)
            noticed = self.now >= notice_at
            first = [c.decide(self.step, noticed, False) for c in self.clocks][0]
            for clock in self.clocks:
                clock.follow(first)
            if first.due and self.now < fails_until:
                self.clocks[0].failed(self.step)
            elif first.due:
                self.now += self.takes
                self.stored.append(self.now)
                self.clocks[0].stored(self.step, self.takes, 1e9)


@given(
    st.lists(st.floats(0.1, 10), min_size=1, max_size=4), st.floats(0.01, 30), st.integers(1, 50)
)
def test_all_workers_ask_at_the_same_steps(
    speeds: list[float], step_seconds: float, evaluations: int
) -> None:
    workers = Workers(speeds, step_seconds, evaluations=evaluations)
    workers.run(500)
    assert workers.asked


@given(st.floats(0.05, 100), st.floats(0.1, 60))
def test_checkpoints_are_an_interval_apart_and_the_first_no_later(
    step_seconds: float, takes: float
) -> None:
    workers = Workers([1.0], step_seconds, takes=takes)
    workers.run(int(10_000 / step_seconds) + 1)
    late = ASK_SECONDS + 2 * step_seconds
    interval = RATE.interval(takes, 1e9)
    assert LEAST_SECONDS <= workers.stored[0] <= RATE.first(1e9) + late + takes
    for before, after in pairwise(workers.stored):
        assert interval <= after - before <= interval + late + takes


def test_a_notice_is_answered_before_the_node_is_gone() -> None:
    workers = Workers([1.0], 0.5)
    workers.run(200, notice_at=40.0)
    assert workers.stored[0] <= 40 + ASK_SECONDS + 2
    assert all(b - a >= AGAIN_SECONDS for a, b in pairwise(workers.stored))
    assert len(workers.stored) >= 2


def test_a_storage_that_is_away_is_tried_again() -> None:
    workers = Workers([1.0], 0.5)
    workers.run(6000, fails_until=1500.0)
    assert 1500 <= workers.stored[0] <= 1500 + LEAST_SECONDS + ASK_SECONDS + 2


def test_a_stated_time_counts_at_evaluations_alone() -> None:
    at_each = Workers([1.0], 1.0, every=0.0, evaluations=10)
    at_each.run(50)
    assert len(at_each.stored) == 5
    rare = Workers([1.0], 1.0, every=25.0, evaluations=10)
    rare.run(100)
    assert len(rare.asked) == 10
    assert all(b - a >= 25 for a, b in pairwise(rare.stored))
