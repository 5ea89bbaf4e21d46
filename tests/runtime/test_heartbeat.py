"""Who lives by a heartbeat: nothing but the observer's own clock counts (cluster 3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.runtime import heartbeat
from raykd.runtime.heartbeat import GAP_SECONDS, Heartbeats, first_living, repeating

LAPSE = 90.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_first_look_tells_nothing_and_a_change_tells_life() -> None:
    clock = Clock()
    seen = Heartbeats(clock)
    assert seen.lives("a", "1", LAPSE) is None
    clock.now = 2
    assert seen.lives("a", "1", LAPSE) is None and seen.lives("b", "1", LAPSE) is None
    clock.now = 4
    assert seen.lives("a", "2", LAPSE) is True and seen.lives("b", "1", LAPSE) is None
    clock.now = 60
    assert seen.lives("a", "2", LAPSE) is True


@given(st.lists(st.floats(0.1, GAP_SECONDS), min_size=40, max_size=60))
def test_a_value_that_stands_still_is_dead_after_the_lapse_and_no_sooner(
    pauses: list[float],
) -> None:
    clock = Clock()
    seen = Heartbeats(clock)
    seen.lives("a", "1", LAPSE)
    passed = 0.0
    for pause in pauses:
        clock.now += pause
        passed += pause
        lives = seen.lives("a", "1", LAPSE)
        assert lives is (False if passed >= LAPSE else None) or abs(passed - LAPSE) < 1e-6


def test_a_long_pause_between_two_looks_proves_neither_death_nor_life() -> None:
    """The store was away, or the observer itself stood still."""
    clock = Clock()
    seen = Heartbeats(clock)
    seen.lives("a", "1", LAPSE)
    clock.now = 10_000
    assert seen.lives("a", "1", LAPSE) is None
    clock.now = 20_000
    assert seen.lives("a", "2", LAPSE) is None  # it changed, but maybe long ago
    clock.now += 2
    assert seen.lives("a", "3", LAPSE) is True
    clock.now += 5_000
    assert seen.lives("a", "3", LAPSE) is None


def test_the_dead_stay_dead_until_they_move() -> None:
    clock = Clock()
    seen = Heartbeats(clock)
    for clock.now in range(0, 100, 2):
        lives = seen.lives("a", "1", LAPSE)
    assert lives is False
    clock.now = 50_000
    assert seen.lives("a", "1", LAPSE) is False
    clock.now += 1
    assert seen.lives("a", "2", LAPSE) is True


def test_all_unknown_ones_are_waited_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "LOOK_SECONDS", 0.0)
    looks = iter(
        [
            [("a", False), ("b", None), ("c", None)],
            [("a", False), ("b", False), ("c", None)],
            [("a", False), ("b", False), ("c", False)],
        ]
    )
    told = list[str]()
    assert first_living(lambda: next(looks), told.append) is None
    assert told == ["b"]
    assert first_living(lambda: [("a", None), ("b", True)], told.append) == "b"
    assert first_living(lambda: [], told.append) is None and told == ["b"]


def test_what_repeats_acts_at_once_and_its_error_is_raised_at_the_end() -> None:
    acts = list[int]()

    def act() -> None:
        acts.append(1)
        if len(acts) == 3:
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"), repeating(act, 0.001):
        while len(acts) < 3:
            pass
    with repeating(lambda: acts.append(2), 3600):
        while 2 not in acts:
            pass
    assert acts == [1, 1, 1, 2]
