"""Live or stored: the choice follows from what each would cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.config.sweep import load
from raykd.errors import UserError
from raykd.maps.activations import state
from raykd.planning import teacher_source
from raykd.planning.plan import Explored, Power, make
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import Speeds, choose
from raykd.sweep.fine_tune import fine_tune

from ..support.world import write_sweep

FAST_DISK = Speeds(tokens=1e4, write=1e9, read=1e9)
NAMED = (state(1), state(2), state(3))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("world")
    sweep = write_sweep(folder)
    return resolve(load(sweep), folder / "home", str(sweep))


def with_states(study: Study, **changes: Any) -> Study:
    wanted = study.config.states.model_copy(update=changes)
    return replace(study, config=study.config.model_copy(update={"states": wanted}))


@given(st.floats(0, 1000), st.floats(1e2, 1e9), st.floats(1e3, 1e11))
def test_auto_takes_what_costs_less(
    study: Study, passes: float, tokens: float, disk: float
) -> None:
    choice = choose(study, NAMED, passes, Speeds(tokens, disk, disk), None)
    assert (choice.source == "cached") == (choice.cached_seconds < choice.live_seconds)


def test_one_pass_is_live_and_many_are_stored(study: Study) -> None:
    assert choose(study, NAMED, 1, FAST_DISK, None).source == "live"
    assert choose(study, NAMED, 50, FAST_DISK, None).source == "cached"


def test_auto_stays_within_the_disk_and_the_limit(study: Study) -> None:
    small = choose(study, NAMED, 50, FAST_DISK, free=1000)
    assert small.source == "live" and "are free" in small.why
    tight = choose(with_states(study, limit_gb=1e-6), NAMED, 50, FAST_DISK, None)
    assert tight.source == "live" and "states.limit_gb" in tight.why


def test_a_stated_store_that_does_not_fit_is_refused(study: Study) -> None:
    asked = with_states(study, source="cached")
    assert choose(asked, NAMED, 1, FAST_DISK, None).source == "cached"
    with pytest.raises(UserError, match="states.source.* are free; free some, or write `live`"):
        choose(asked, NAMED, 1, FAST_DISK, free=1000)
    with pytest.raises(UserError, match="limit_gb: 1e-06; raise it, or write `live`"):
        choose(with_states(asked, limit_gb=1e-6), NAMED, 1, FAST_DISK, None)


def test_a_teacher_is_measured_when_it_is_made(study: Study) -> None:
    assert not teacher_source.speeds(study, 1000, gpu=False).measured
    fine_tune(study)
    known = teacher_source.speeds(study, 1000, gpu=False)
    assert known.measured and min(known.tokens, known.write, known.read) > 0
    assert not list((study.home / "states").iterdir())


def test_a_plan_names_every_state_that_its_maps_may(tmp_path: Path) -> None:
    confirm = {"strategies": ["none", {"strategy": "custom", "map": [3, 1]}], "seeds": 2}
    power = Power(2, 0, 1)

    def named(**changes: Any) -> list[str]:
        sweep = write_sweep(tmp_path, confirm=confirm, **changes)
        found = resolve(load(sweep), tmp_path / "home", str(sweep))
        named = make(found, (), Explored({}), 2**40, power).teacher_states()
        return [activation.column for activation in named]

    assert named() == ["state-1", "state-3"]
    assert named(losses={"embedding": True}) == ["state-0", "state-1", "state-3"]
    assert named(explore={"maps": 5}) == [f"state-{block}" for block in (1, 2, 3, 4)]


def test_a_plan_counts_a_pass_for_each_cohort(study: Study) -> None:
    made = make(study, (), Explored({}), 2**40, Power(2, 0, 1))
    rows = study.prepared.counts["train"]
    assert made.teacher_passes() == pytest.approx(2 * 12 * 16 / rows)  # two seeds, two cohorts
    done = make(study, [t.id for t in made.confirm], Explored({}), 2**40, Power(2, 0, 1))
    assert done.teacher_passes() == 0 and done.choice().source == "live"
