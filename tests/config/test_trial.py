"""A trial's id names all that decides its result; cohorts hold every trial once."""

from __future__ import annotations

import json
import os
import pathlib
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.config.cohort import Cohort, into_cohorts, shared
from raykd.config.trial import Init, Shape, TrialSpec
from raykd.maps.layer_map import LayerMap
from raykd.runtime.memo import digest

from ..support.specs import SPEC, spec

Path = tuple[str, ...]

layer_maps = st.lists(st.none() | st.integers(1, 40), min_size=1, max_size=9).map(
    lambda blocks: LayerMap(tuple(blocks))
)
trials = st.builds(
    spec,
    layer_map=layer_maps,
    strategy=st.text(max_size=8),
    shape=st.builds(Shape, st.integers(1, 40), st.none() | st.integers(1, 4096)),
    init=st.just(Init("random")) | st.just(Init("copied", (1, 2), head=False)),
    phase=st.sampled_from(["explore", "confirm"]),
    seed=st.integers(0, 3),
    steps=st.integers(1, 3),
    lr=st.floats(1e-8, 1.0),
)


def leaves(value: dict[str, Any], above: Path = ()) -> Iterator[tuple[Path, Any]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from leaves(inner, (*above, key))
        else:
            yield (*above, key), inner


def changed(path: Path) -> TrialSpec:
    """SPEC with the one value at a path changed."""
    data = json.loads(json.dumps(SPEC.to_json()))
    holder = data
    for key in path[:-1]:
        holder = holder[key]
    old = holder[path[-1]]
    match old:
        case bool():
            new: Any = not old
        case int() | float():
            new = old + 1
        case str():
            new = old + "x"
        case None:
            new = 7
        case [first, *rest]:
            new = [first + 1, *rest]
    holder[path[-1]] = new
    return TrialSpec.from_json(data)


def test_an_id_stays_what_it_was() -> None:
    """Results in a store are found by it: a new field is left out where it is as it always was."""
    assert (SPEC.id, SPEC.family) == ("a66e234e477d", "e1216ec0829a")


LEAVES = [path for path, _ in leaves(SPEC.to_json())]


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_every_value_counts_in_the_id(path: Path) -> None:
    other = changed(path)
    assert other != SPEC
    assert other.id != SPEC.id


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_the_family_leaves_out_the_map_and_its_name_alone(path: Path) -> None:
    same = path[0] in ("layer_map", "strategy")
    assert (changed(path).family == SPEC.family) == same


def test_the_walk_reaches_every_field() -> None:
    later = {"plugins"}  # left out where there are none: tests/runtime/test_plugins.py
    assert {path[0] for path in LEAVES} | later == set(TrialSpec.__dataclass_fields__)
    assert len(LEAVES) > 20


@given(trials)
def test_a_trial_round_trips(trial: TrialSpec) -> None:
    again = TrialSpec.from_json(json.loads(json.dumps(trial.to_json())))
    assert again == trial and again.id == trial.id
    assert hash(again) == hash(trial)
    assert pickle.loads(pickle.dumps(trial)) == trial


@given(trials)
def test_the_id_does_not_depend_on_the_order_of_keys(trial: TrialSpec) -> None:
    data = trial.to_json()
    backwards = {k: data[k] for k in reversed(data)}
    backwards["training"] = dict(reversed(data["training"].items()))
    assert digest(backwards) == trial.id


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_id_is_the_same_in_every_process(hash_seed: str) -> None:
    program = "from tests.support.specs import SPEC; print(SPEC.id, SPEC.family)"
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=pathlib.Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == [SPEC.id, SPEC.family]


def test_an_id_is_twelve_hex_digits() -> None:
    assert len(SPEC.id) == 12 and set(SPEC.id) <= set("0123456789abcdef")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_id_is_made_of_what_json_cannot_hold(value: float) -> None:
    with pytest.raises(ValueError):
        _ = spec(lr=value).id


# Cohorts


some_trials = st.lists(trials, max_size=24, unique_by=lambda t: t.id)


@given(some_trials, st.integers(1, 6))
def test_cohorts_hold_every_trial_once_and_keep_to_their_size(
    wanted: list[TrialSpec], size: int
) -> None:
    cohorts = into_cohorts(wanted, size)
    held = Counter(trial for cohort in cohorts for trial in cohort.trials)
    assert held == Counter(wanted)
    assert all(1 <= len(cohort.trials) <= size for cohort in cohorts)
    assert all(len({shared(t) for t in cohort.trials}) == 1 for cohort in cohorts)


@given(some_trials, st.integers(1, 6))
def test_cohorts_are_few_and_even(wanted: list[TrialSpec], size: int) -> None:
    parts: dict[object, list[int]] = {}
    for cohort in into_cohorts(wanted, size):
        parts.setdefault(shared(cohort.trials[0]), []).append(len(cohort.trials))
    for sizes in parts.values():
        assert max(sizes) - min(sizes) <= 1
        assert len(sizes) == -(-sum(sizes) // size)


@given(some_trials, st.integers(1, 6))
def test_cohorts_keep_the_order_of_the_trials(wanted: list[TrialSpec], size: int) -> None:
    cohorts = into_cohorts(wanted, size)
    for group in {shared(t) for t in wanted}:
        inside = [t for c in cohorts for t in c.trials if shared(t) == group]
        assert inside == [t for t in wanted if shared(t) == group]


def test_eight_trials_at_a_size_of_five_are_four_and_four() -> None:
    cohorts = into_cohorts([spec(strategy=f"s{i}") for i in range(8)], 5)
    assert [len(cohort.trials) for cohort in cohorts] == [4, 4]


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"steps": 7}, {"batch": 8}, {"data": "other"}, {"teacher": "other"},
     {"phase": "explore"}, {"evaluations": 1}],
)  # fmt: skip
def test_trials_that_do_not_share_their_batches_are_no_cohort(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="share"):
        Cohort((spec(), spec(**change)))
    assert len(into_cohorts([spec(), spec(**change)], 5)) == 2


@pytest.mark.parametrize(
    "change",
    [{"strategy": "reverse", "layer_map": LayerMap((12, 8, 4))}, {"lr": 1.0}, {"kind": "cosine"},
     {"init": Init("random")}, {"shape": Shape(2)}],
)  # fmt: skip
def test_students_that_differ_may_share_a_cohort(change: dict[str, Any]) -> None:
    assert len(into_cohorts([spec(), spec(**change)], 5)) == 1


def test_a_cohorts_id_names_its_trials_in_any_order() -> None:
    first, second, third = spec(), spec(strategy="reverse"), spec(strategy="none")
    assert Cohort((first, second)).id == Cohort((second, first)).id
    assert Cohort((first, second)).id != Cohort((first, third)).id
