"""Schedules as a factor of confirm: their trials, names and lines, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raykd.config.sweep import load, smoke_config
from raykd.config.trial import TrialSpec
from raykd.errors import UserError
from raykd.losses.hidden.schedule import text
from raykd.maps.layer_map import LayerMap
from raykd.planning import schedules
from raykd.planning.cohort_size import footprint
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.trials import confirm_trials, explore_trial
from raykd.tracking.writer import trial_params

from ..support.world import write_sweep

HINT: list[dict[str, Any]] = [{"until": 0.5, "ce": 0, "kl": 0}, {"until": 1, "hidden": 0}]
STOPS: list[dict[str, Any]] = [{"until": 0.5}, {"until": 1, "hidden": 0}]
SOFT: list[dict[str, Any]] = [{"until": 1, "kl": [0, 1]}]
ARMS = {"strategies": ["none", "forward"], "seeds": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


def study(folder: Path, **changes: Any) -> Study:
    sweep = write_sweep(folder, **{"confirm": ARMS, **changes})
    return resolve(load(sweep), folder / "home", str(sweep))


def ids(study: Study) -> list[str]:
    return [t.id for t in confirm_trials(study)]


class Ran:
    """A record of a trial, as the ledger has it."""

    def __init__(self, trial: TrialSpec) -> None:
        self.map, self.params = str(trial.layer_map), trial_params(trial)


def names(study: Study) -> dict[tuple[str, str], tuple[str, ...]]:
    """The schedules of each trial, by strategy and id, the same of its record."""
    known, found = schedules.names(study), {}
    for trial in confirm_trials(study):
        found[trial.strategy, trial.id] = known.of_trial(trial)
        assert known.of_record(Ran(trial)) == known.of_trial(trial)
    return found


def test_every_strategy_is_trained_under_every_schedule(folder: Path) -> None:
    stated = {"constant": [], "hint": HINT, "soft": SOFT, "stops": STOPS}
    found = study(folder, confirm={**ARMS, "schedules": stated})
    trials = confirm_trials(found)
    assert len(set(trials)) == len(trials)
    by_strategy = {s: [t for t in trials if t.strategy == s] for s in ("none", "forward")}
    assert [t.loss.schedule and text(t.loss.schedule) for t in by_strategy["forward"]] == [
        None,
        "until 0.5: ce 0, kl 0, hidden 1; until 1: ce 1, kl 1, hidden 0",
        "until 1: ce 1, kl 0 to 1, hidden 1",
        "until 0.5: ce 1, kl 1, hidden 1; until 1: ce 1, kl 1, hidden 0",
    ]
    # A student that matches nothing is the same under the first three, and is trained once.
    assert [len(t.loss.schedule or ()) for t in by_strategy["none"]] == [0, 1]
    assert sorted(n for t, n in names(found).items() if t[0] == "none") == [
        ("constant", "hint", "stops"), ("soft",),
    ]  # fmt: skip
    assert sorted(n for t, n in names(found).items() if t[0] == "forward") == [
        ("constant",), ("hint",), ("soft",), ("stops",),
    ]  # fmt: skip


def test_constant_weights_are_the_trials_of_a_file_without_schedules(folder: Path) -> None:
    plain = ids(study(folder))
    assert ids(study(folder, losses={"schedule": [{"until": 1}]})) == plain
    same = [{"until": 0.3}, {"until": 1, "kl": 1}]
    assert ids(study(folder, losses={"schedule": same})) == plain
    assert ids(study(folder, confirm={**ARMS, "schedules": {"constant": []}})) == plain
    both = ids(study(folder, confirm={**ARMS, "schedules": {"constant": None, "hint": HINT}}))
    assert set(plain) < set(both)
    # A weight that a stage states is that of `losses`.
    stated = study(folder, losses={"schedule": [{"until": 1, "hidden": 2}]})
    weighted = study(folder, losses={"hidden": 2})
    matched = [
        [t.id for t in confirm_trials(s) if t.strategy != "none"] for s in (stated, weighted)
    ]
    assert matched[0] == matched[1]


def test_a_single_schedule_has_no_name_and_is_no_factor(folder: Path) -> None:
    one = study(folder, losses={"schedule": HINT})
    named = study(folder, confirm={**ARMS, "schedules": {"hint": HINT}})
    assert ids(one) == ids(named)
    assert set(names(one).values()) == set(names(named).values()) == {("",)}


def test_hidden_weights_fill_in_what_stages_leave_out(folder: Path) -> None:
    confirm = {**ARMS, "schedules": {"constant": [], "hint": HINT}, "hidden_weights": [0.5, 2]}
    found = study(folder, confirm=confirm)
    forward = [t for t in confirm_trials(found) if t.strategy == "forward"]
    assert [(t.loss.hidden, bool(t.loss.schedule)) for t in forward] == [
        (0.5, False), (2.0, False), (0.5, True), (2.0, True),
    ]  # fmt: skip
    counted = [n for t, n in names(found).items() if t[0] == "forward"]
    assert counted == [("constant",), ("constant",), ("hint",), ("hint",)]


def test_explore_has_the_schedule_of_losses_over_its_own_steps(folder: Path) -> None:
    explore = {"maps": 2, "fidelity": 0.5}
    found = study(folder, losses={"schedule": HINT}, explore=explore)
    trial = explore_trial(found, LayerMap((2, 4)))
    assert trial.loss.schedule == confirm_trials(found)[1].loss.schedule
    weights = [trial.loss.weights(step, trial.training.steps) for step in range(6)]
    assert [w.hidden for w in weights] == [1, 1, 1, 0, 0, 0]
    crossed = study(
        folder, explore=explore, confirm={**ARMS, "schedules": {"constant": [], "hint": HINT}}
    )
    assert explore_trial(crossed, LayerMap((2, 4))).loss.schedule is None


def test_a_plan_says_what_a_student_without_matching_trains_on(folder: Path) -> None:
    stated = {"constant": [], "hint": HINT, "stops": STOPS}
    said = schedules.lines(study(folder, confirm={**ARMS, "schedules": stated}), {"none"})
    assert len(said) == 4
    assert said[0] == "constant: the weights of `losses`"
    assert said[2].startswith("under hint, none matches nothing")
    assert schedules.lines(study(folder), {"none"}) == []


def test_a_trial_comes_back_from_json(folder: Path) -> None:
    for trial in confirm_trials(study(folder, losses={"schedule": HINT})):
        assert TrialSpec.from_json(json.loads(json.dumps(trial.to_json()))) == trial


def test_a_smoke_run_has_a_step_for_each_stage(folder: Path) -> None:
    many = [{"until": i / 6, "hidden": i} for i in range(1, 7)]
    config = smoke_config(load(write_sweep(folder, losses={"schedule": many})))
    assert config.training.steps == 6
    resolve(config, folder / "home", "sweep.yaml")


PROGRESSIVE = [{"until": 1, "blocks": "progressive"}]
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"losses": {"schedule": [{"until": 0.5}, {"until": 0.4}]}}, "losses.schedule: stage 2 ends"),
    ({"losses": {"schedule": [{"until": 0.5}, {"until": 0.5}]}}, "write shares that rise"),
    ({"losses": {"schedule": [{"until": 0.5}]}}, "the last stage ends at 0.5; write `until: 1`"),
    ({"losses": {"schedule": [{"until": 1.5}]}}, "schedule.0.until: 1.5 will not do"),
    ({"losses": {"schedule": "hint"}}, "losses.schedule: write a list of stages"),
    ({"losses": {"schedule": {"until": 1}}}, "losses.schedule: write a list of stages"),
    ({"confirm": {"schedules": {"hint": {"until": 1}}}}, "schedules: write a list of stages"),
    ({"losses": {"schedule": [{"ce": 1}]}}, "losses.schedule.0.until: missing"),
    ({"confirm": {"schedules": {"kl": [{"til": 1}]}}}, "confirm.schedules.kl.0.til: unknown key"),
    ({"losses": {"schedule": []}}, "losses.schedule: [] is empty"),
    ({"losses": {"schedule": [{"until": 1, "kl": -1}]}}, "schedule.0.kl: -1 will not do"),
    ({"losses": {"schedule": [{"until": 1, "kl": [1]}]}}, "schedule.0.kl: [1] is no ramp"),
    (
        {"losses": {"schedule": [{"until": 1, "ce": 0, "kl": 0, "hidden": 0}]}},
        "losses.schedule.0: ce, kl and hidden are 0",
    ),
    (
        {"losses": {"schedule": [{"until": 1, "hidden": 0, "blocks": "progressive"}]}},
        "losses.schedule.0.blocks: progressive, and hidden is 0",
    ),
    (
        {"losses": {"schedule": PROGRESSIVE, "kind": "minilm"}},
        "losses.schedule: blocks: progressive switches pairs on one by one",
    ),
    (
        {"confirm": {"strategies": ["forward", "rail_kd"], "schedules": {"p": PROGRESSIVE}}},
        "the loss of rail_kd is of all blocks at once",
    ),
    ({"confirm": {"schedules": [HINT]}}, "confirm.schedules: write a mapping of names"),
    ({"confirm": {"schedules": {"constant": HINT}}}, "constant is the name of weights that do not"),
    ({"confirm": {"schedules": {"hint": []}}}, "hint has no stages"),
    ({"confirm": {"schedules": {"a, b": HINT}}}, "'a, b' is no name"),
    ({"confirm": {"schedules": {"a": [{"until": 0.5}]}}}, "a: the last stage ends at 0.5"),
    (
        {"confirm": {"schedules": {"a": HINT, "b": [{"until": 0.2, "ce": 0, "kl": 0}, *HINT]}}},
        "confirm.schedules: a and b have the same weights",
    ),
    (
        {"confirm": {"schedules": {"a": [{"until": 1, "hidden": 2}]}, "hidden_weights": [1, 2]}},
        "confirm.schedules.a: stage 1 states a hidden weight",
    ),
    (
        {"losses": {"schedule": HINT}, "explore": {"maps": 4, "prune": {"at": [0.5]}}},
        "explore.prune.at: 0.5 is after step 6 of 12, and ce and kl have no weight up to step 6",
    ),
    (
        {
            "losses": {"schedule": HINT},
            "explore": {"maps": 4, "prune": {"at": [0.52]}, "fidelity": 0.5},
        },
        "explore.prune.at: 0.52 is after step 3 of 6",
    ),
    (
        {"losses": {"schedule": [{"until": i / 20, "hidden": i} for i in range(1, 21)]}},
        "losses.schedule: 20 stages, and a training has 12 steps",
    ),
    (
        {
            "losses": {"schedule": [{"until": i / 10, "hidden": i} for i in range(1, 11)]},
            "explore": {"maps": 4, "fidelity": 0.5},
        },
        "explore.fidelity: 0.5 leaves 6 of 12 steps for the 10 stages",
    ),
]


@pytest.mark.parametrize(("changes", "line"), WRONG, ids=[line[:40] for _, line in WRONG])
def test_what_does_not_fit_is_told_in_a_line(
    folder: Path, changes: dict[str, Any], line: str
) -> None:
    with pytest.raises(UserError) as refused:
        study(folder, **changes)
    assert len(refused.value.lines) == 1 and line in refused.value.lines[0]
    assert refused.value.lines[0].startswith(str(folder / "sweep.yaml"))


def test_memory_is_that_of_the_step_with_every_term(folder: Path) -> None:
    plain = footprint(study(folder), gpu=False)
    progressive = [{"until": 0.5, "ce": 0, "kl": 0, "blocks": "progressive"}, HINT[1]]
    for schedule in (HINT, STOPS, progressive):
        assert footprint(study(folder, losses={"schedule": schedule}), gpu=False) == plain
    # A term that `losses` leaves out counts if a stage has it.
    bare = {"kl": 0, "hidden": 0}
    later = [{"until": 0.5}, {"until": 1, "kl": 1, "hidden": 1}]
    assert footprint(study(folder, losses=bare), gpu=False) != plain
    assert footprint(study(folder, losses={**bare, "schedule": later}), gpu=False) == plain
