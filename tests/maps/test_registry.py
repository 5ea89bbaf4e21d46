"""Maps by name, as a caller of the library asks for them; strategies that they register."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.cli.maps import maps
from raykd.config.sweep import SweepConfig
from raykd.errors import UserError
from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap, check
from raykd.maps.published import RULES
from raykd.maps.registry import register_strategy, strategy
from raykd.maps.strategies import STRATEGIES, apply_to_stacks

depths = st.integers(1, 40)


@given(st.sampled_from(sorted(RULES)), depths, depths, st.integers(0, 99))
def test_a_name_yields_the_map_of_its_strategy(
    name: str, teacher: int, student: int, seed: int
) -> None:
    layer_map = strategy(name, teacher, student, seed)
    assert layer_map == RULES[name](teacher, student, seed)
    assert check(layer_map, Depth(teacher), Depth(student)) is None


def test_two_stacks_have_a_half_each() -> None:
    both = strategy("random", (12, 6), (4, 3), seed=5)
    assert both == apply_to_stacks(RULES["random"], Depth(12, 6), Depth(4, 3), 5)
    mirrored = strategy("forward", (12, 12), (3, 3), decoder="mirrored")
    assert str(mirrored) == "{encoder: [4, 8, 12], decoder: [12, 8, 4]}"
    assert mirrored == strategy("forward", (12, 12), (3, 3), decoder="reverse")


def test_options_are_those_of_the_strategy() -> None:
    assert strategy("all_to_one", 12, 3, block=7).blocks == (7, 7, 7)
    assert strategy("single", 12, 3, student_block=3, block=1).blocks == (None, None, 1)
    assert strategy("upper", 12, 3, k=2).blocks == (None, 12, 12)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "revers"}, "'revers' is not known; did you mean reverse?"),
    ({"name": "forward", "block": 3}, "forward has no option 'block'; it has none"),
    ({"name": "single", "blocks": 3}, "single has no option 'blocks'; it takes student_block"),
    ({"name": "all_to_one", "block": 13}, "names teacher block 13, the teacher has 12 blocks"),
    ({"name": "single", "student_block": 4}, "does not fit a student of 3 blocks"),
    ({"name": "upper", "k": 4}, "does not fit a student of 3 blocks"),
    ({"name": "forward", "student": 0}, "student: 0; write a number of blocks from 1 on"),
    ({"name": "forward", "teacher": (12, 12)}, "as many stacks"),
    ({"name": "forward", "decoder": "same"}, "the models have one stack; leave it out"),
]


@pytest.mark.parametrize(("arguments", "says"), WRONG, ids=[says for _, says in WRONG])
def test_what_does_not_fit_is_a_value_error(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as caught:
        strategy(**arguments)
    assert says in str(caught.value)


# Pictures


def test_a_map_draws_itself() -> None:
    lines = strategy("reverse", 6, 2).picture(teacher=6, title="reverse").splitlines()
    assert lines[0] == "reverse  [6, 3]"
    assert [line.rsplit("  ", 1)[1] for line in lines[3:]] == ["imitates 6", "imitates 3"]
    both = strategy("forward", (4, 4), (2, 2)).picture((4, 4))
    assert both.splitlines()[0] == "encoder  [2, 4]" and "decoder  [2, 4]" in both


@pytest.mark.parametrize("teacher", [6, (12, 12)])
def test_a_teacher_that_the_map_does_not_fit_is_refused(teacher: Any) -> None:
    with pytest.raises(ValueError, match="^teacher: "):
        LayerMap((4, 8, 12)).picture(teacher)


# Registration


@pytest.fixture
def middle() -> Iterator[str]:
    @register_strategy
    def around_the_middle(teacher: int, student: int, seed: int, *, step: int = 1) -> LayerMap:
        first = max(1, teacher // 2 - student // 2)
        return LayerMap(tuple(min(teacher, first + step * k) for k in range(student)))

    try:
        yield "around_the_middle"
    finally:
        del STRATEGIES["around_the_middle"]


def config(name: str) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "name": "own", "task": {"data": "x.csv"}, "teacher": {"model": "minilm"},
            "student": {"blocks": 3}, "confirm": {"strategies": ["forward", name]},
        }
    )  # fmt: skip


def test_a_registered_strategy_is_one_like_any_other(middle: str) -> None:
    assert strategy(middle, 12, 3).blocks == (5, 6, 7)
    assert strategy(middle, 12, 3, step=2).blocks == (5, 7, 9)
    assert middle in RULES and list(RULES).index(middle) < list(RULES).index("pkd_skip")
    assert (middle, strategy(middle, 12, 3)) in maps(Depth(12), Depth(3), [], 0, False)
    both = apply_to_stacks(RULES[middle], Depth(12, 12), Depth(3, 3), 0)
    assert [half.blocks for half in both.halves] == [(5, 6, 7), (5, 6, 7)]
    confirm = config(middle).confirm
    assert confirm is not None and [s.label for s in confirm.strategies] == ["forward", middle]
    names = SweepConfig.model_json_schema()["$defs"]["Strategy"]["properties"]["strategy"]["enum"]
    assert middle in names and {*RULES, "custom"} == {*names}


def test_one_that_is_not_registered_is_unknown_everywhere() -> None:
    with pytest.raises(UserError, match="'around_the_middle' is not known"):
        maps(Depth(12), Depth(3), ["around_the_middle"], 0, False)
    with pytest.raises(ValueError, match="confirm.strategies.1.strategy"):
        config("around_the_middle")


@pytest.mark.parametrize("name", ["forward", "pkd_skip", "custom", "same", "best_1"])
def test_names_that_are_taken_are_refused(name: str) -> None:
    def rule(teacher: int, student: int, seed: int) -> LayerMap:
        return LayerMap((1,) * student)

    rule.__name__ = name
    before = dict(RULES)
    with pytest.raises(ValueError, match=name):
        register_strategy(rule)
    assert dict(RULES) == before


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ([1, 2, 3], "returned [1, 2, 3]; return a LayerMap, such as LayerMap((1, 1, 1))"),
        (LayerMap((1, 2)), "[1, 2] has 2 entries, the student has 3 blocks"),
        (LayerMap((1, 2, 13)), "names teacher block 13, the teacher has 12 blocks"),
    ],
)
def test_a_strategy_returns_a_map_that_fits(result: Any, says: str) -> None:
    @register_strategy
    def broken(teacher: int, student: int, seed: int) -> LayerMap:
        return result  # type: ignore[no-any-return]

    try:
        with pytest.raises(ValueError) as caught:
            strategy("broken", 12, 3)
        assert str(caught.value).startswith("strategy 'broken'") and says in str(caught.value)
    finally:
        del STRATEGIES["broken"]


def test_a_module_that_is_imported_again_registers_again(middle: str) -> None:
    def around_the_middle(teacher: int, student: int, seed: int) -> LayerMap:
        return LayerMap((1,) * student)

    register_strategy(around_the_middle)
    assert strategy(middle, 12, 3).blocks == (1, 1, 1)
