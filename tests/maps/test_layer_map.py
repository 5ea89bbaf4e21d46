"""Layer maps round-trip; every strategy keeps the same rules; the paper's maps, to the letter."""

from __future__ import annotations

import json
import random as stdlib_random
from collections import Counter
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.maps import strategies
from raykd.maps.activations import state
from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap, check
from raykd.maps.strategies import STRATEGIES, forward, match_embedding

layer_maps = st.builds(
    LayerMap,
    st.lists(st.none() | st.integers(1, 200), min_size=1, max_size=40).map(tuple),
    st.none() | st.integers(0, 200),
)
ranges = st.lists(
    st.none() | st.tuples(st.integers(1, 60), st.integers(0, 9)), min_size=1, max_size=9
).map(lambda of: LayerMap(tuple(r and r[0] for r in of), upto=tuple(r and r[0] + r[1] for r in of)))
depths = st.integers(1, 40)
names = st.sampled_from(sorted(STRATEGIES))
seeds = st.integers(0, 2**31)


# The value


@given(layer_maps | ranges)
def test_a_map_round_trips_through_text_and_json(layer_map: LayerMap) -> None:
    assert LayerMap.parse(str(layer_map)) == layer_map
    assert LayerMap.from_json(json.loads(json.dumps(layer_map.to_json()))) == layer_map


@given(layer_maps)
def test_text_says_all_of_a_map(layer_map: LayerMap) -> None:
    other = LayerMap(layer_map.blocks, None if layer_map.embedding == 0 else 0)
    assert str(other) != str(layer_map)
    assert other.to_json() != layer_map.to_json()


@given(layer_maps)
def test_pairs_hold_the_matched_states_and_no_others(layer_map: LayerMap) -> None:
    pairs = dict(layer_map.matched_blocks())
    assert layer_map.pairs() == tuple((state(s), state(t)) for s, t in pairs.items())
    assert tuple(pairs.get(s) for s in range(1, layer_map.depth.encoder + 1)) == layer_map.blocks
    assert pairs.get(0) == layer_map.embedding
    assert list(pairs) == sorted(pairs)


def test_a_range_matches_all_its_blocks_and_a_range_of_one_is_a_block() -> None:
    layer_map = LayerMap((1, None, 5), embedding=0, upto=(3, None, 5))
    assert str(layer_map) == "[1-3, null, 5] + embedding"
    assert layer_map.entries == ("1-3", "null", "5")
    assert layer_map.matched_blocks() == ((0, 0), (1, 1), (1, 2), (1, 3), (3, 5))
    assert layer_map.to_json() == {
        "map": [1, None, 5], "embedding": True, "upto": [3, None, 5],
    }  # fmt: skip
    assert (
        check(layer_map, Depth(4), Depth(3))
        == f"{layer_map} names teacher block 5, the teacher has 4 blocks"
    )
    assert LayerMap((4, 8), upto=(4, 8)) == LayerMap((4, 8)) == LayerMap.parse("[4-4, 8]")


@pytest.mark.parametrize(
    "upto", [(3,), (3, None), (None, 9), (3, 8), (3, True), (3, 9.0), (9, 9.5)]
)
def test_no_range_ends_before_it_begins(upto: Any) -> None:
    with pytest.raises(ValueError):
        LayerMap((4, 9), upto=upto)


def test_text_and_json_are_those_of_the_sweep_file_and_the_command_line() -> None:
    assert str(LayerMap((4, None, 12))) == "[4, null, 12]"
    assert str(LayerMap((4, 8), embedding=0)) == "[4, 8] + embedding"
    assert str(LayerMap((6, 6), embedding=6)) == "[6, 6] + embedding 6"
    assert LayerMap((4, None)).to_json() == {"map": [4, None], "embedding": False}
    assert LayerMap((4, None), 0).to_json() == {"map": [4, None], "embedding": True}
    assert LayerMap((6, 6), 6).to_json() == {
        "map": [6, 6],
        "embedding": True,
        "embedding_target": 6,
    }


@pytest.mark.parametrize("text", ["[4,8 , null]", "  [4, 8, null]\n", "[ 4, 8, null ]"])
def test_parse_does_not_mind_spaces(text: str) -> None:
    assert LayerMap.parse(text) == LayerMap((4, 8, None))


@pytest.mark.parametrize(
    "text",
    [
        "", "4, 8, 12", "[]", "[4, 8", "4, 8]", "[4 8]", "[4,, 8]", "[4, 8,]", "[0, 4]", "[-4]",
        "[4.0]", "[4.5]", "[true]", '["4"]', "[[]]", "[[null]]", "[NaN]", "[None]", "[4] + emb",
        "[4] embedding", "[4] + embedding -1", "[4] + embedding 1.5", "[4] + embedding + embedding",
        "[4] [8]", "[4-]", "[4-2]", "[0-3]", "[4 - 8]", "[4-5-6]", '["4-5"]',
    ],
)  # fmt: skip
def test_parse_refuses_what_is_no_map(text: str) -> None:
    with pytest.raises(ValueError):
        LayerMap.parse(text)


@given(st.text(alphabet='[]0123456789, nulembdig+-.tr\n"', max_size=30))
def test_whatever_parses_is_a_map_that_round_trips(text: str) -> None:
    try:
        layer_map = LayerMap.parse(text)
    except ValueError:
        return
    assert LayerMap.parse(str(layer_map)) == layer_map


@pytest.mark.parametrize(
    ("blocks", "embedding"),
    [((), None), ((0,), None), ((-1, 4), None), ((True,), None), ((1.5,), None), (("4",), None),
     ((4,), -1), ((4,), True), ((4,), 1.5)],
)  # fmt: skip
def test_no_map_holds_what_is_no_block(blocks: Any, embedding: Any) -> None:
    with pytest.raises(ValueError):
        LayerMap(blocks, embedding)


def test_check_names_the_misfit() -> None:
    assert check(LayerMap((4, 8, 12)), Depth(12), Depth(3)) is None
    assert (
        check(LayerMap((4, 8)), Depth(12), Depth(3))
        == "[4, 8] has 2 entries, the student has 3 blocks"
    )
    assert (
        check(LayerMap((4, 13, None)), Depth(12), Depth(3))
        == "[4, 13, null] names teacher block 13, the teacher has 12 blocks"
    )
    assert check(LayerMap((4,), embedding=13), Depth(12), Depth(1)) is not None


# What holds for every strategy


@given(names, depths, depths, seeds)
def test_a_strategy_fits_its_teacher_and_student(
    name: str, teacher: int, student: int, seed: int
) -> None:
    layer_map = STRATEGIES[name](teacher, student, seed)
    assert layer_map.depth == Depth(student)
    assert all(1 <= block <= teacher for block in layer_map.blocks if block is not None)
    assert layer_map.embedding is None
    assert check(layer_map, Depth(teacher), Depth(student)) is None
    assert check(match_embedding(layer_map, name), Depth(teacher), Depth(student)) is None


@given(names, depths, depths, seeds, seeds)
def test_a_strategy_is_pure(
    name: str, teacher: int, student: int, seed: int, disturbance: int
) -> None:
    expected = STRATEGIES[name](teacher, student, seed)
    stdlib_random.seed(disturbance)
    np.random.seed(disturbance)
    before = stdlib_random.getstate(), str(np.random.get_state())
    assert STRATEGIES[name](teacher, student, seed) == expected
    assert before == (stdlib_random.getstate(), str(np.random.get_state()))


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_exactly_the_seeded_strategies_vary_with_the_seed(name: str) -> None:
    drawn = {STRATEGIES[name](12, 6, seed) for seed in range(30)}
    seeded = name in {"random", "in_order_random", "uniform_random"}
    assert len(drawn) > 10 if seeded else len(drawn) == 1


def test_seeded_draws_never_change() -> None:
    # A draw is part of a trial's id: another draw under the same seed would orphan old results.
    assert [strategies.random(12, 3, seed).blocks for seed in range(3)] == RANDOM_12_3
    assert [strategies.in_order_random(12, 3, seed).blocks for seed in range(3)] == IN_ORDER_12_3
    assert [strategies.uniform_random(12, 3, seed).blocks for seed in range(3)] == UNIFORM_12_3


RANDOM_12_3 = [(4, 12, 8), (12, 8, 4), (4, 12, 8)]
IN_ORDER_12_3 = [(6, 7, 10), (2, 8, 12), (9, 11, 12)]
UNIFORM_12_3 = [(2, 5, 7), (4, 9, 9), (10, 8, 2)]


# The maps of the paper's released tables (paper.md, section 3), 1-based

FORWARD = {
    (12, 1): [12],
    (12, 2): [6, 12],
    (12, 3): [4, 8, 12],
    (12, 4): [3, 6, 9, 12],
    (12, 6): [2, 4, 6, 8, 10, 12],
    (12, 9): [2, 3, 4, 6, 7, 8, 10, 11, 12],
    (36, 9): [4, 8, 12, 16, 20, 24, 28, 32, 36],
    (28, 7): [4, 8, 12, 16, 20, 24, 28],
    (40, 10): [4, 8, 12, 16, 20, 24, 28, 32, 36, 40],
}
REVERSE = {
    (12, 3): [12, 8, 4],
    (12, 6): [12, 10, 8, 6, 4, 2],
    (12, 9): [12, 11, 10, 8, 7, 6, 4, 3, 2],
    (36, 9): [36, 32, 28, 24, 20, 16, 12, 8, 4],
}
ALL_TO_ONE = {(12, 3): [6] * 3, (12, 6): [6] * 6, (12, 9): [6] * 9, (36, 9): [18] * 9}
NONE = {(12, 3): [None] * 3, (12, 6): [None] * 6, (12, 9): [None] * 9, (36, 9): [None] * 9}
PAPER: dict[str, Any] = {
    "forward": FORWARD,
    "reverse": REVERSE,
    "all_to_one": ALL_TO_ONE,
    "none": NONE,
}


@pytest.mark.parametrize(
    ("name", "teacher", "student", "expected"),
    [(name, *depths, blocks) for name, maps in PAPER.items() for depths, blocks in maps.items()],
)
def test_the_papers_maps(name: str, teacher: int, student: int, expected: list[int | None]) -> None:
    assert list(STRATEGIES[name](teacher, student, 0).blocks) == expected


def test_embeddings_are_matched_as_the_release_does() -> None:
    matched = {n: match_embedding(rule(12, 3, 5), n) for n, rule in STRATEGIES.items()}
    for name in ("forward", "reverse", "random"):
        assert matched[name].embedding == 0  # state 0 to state 0, never permuted or reversed
    assert matched["all_to_one"].matched_blocks() == ((0, 6), (1, 6), (2, 6), (3, 6))
    assert matched["none"].matched_blocks() == ()


@given(names, depths, depths, seeds)
def test_matching_embeddings_leaves_the_blocks_alone(
    name: str, teacher: int, student: int, seed: int
) -> None:
    layer_map = STRATEGIES[name](teacher, student, seed)
    assert match_embedding(layer_map, name).blocks == layer_map.blocks


# What each strategy promises


@given(depths, depths)
def test_forward_rises_to_the_last_block(teacher: int, student: int) -> None:
    blocks = [b for b in forward(teacher, student, 0).blocks if b is not None]
    assert blocks == sorted(blocks) and blocks[-1] == teacher
    if student <= teacher:
        assert len(set(blocks)) == student


@given(depths, depths, seeds, st.booleans())
def test_random_is_a_permutation_of_forward(
    teacher: int, student: int, seed: int, exclude: bool
) -> None:
    plain = forward(teacher, student, seed)
    drawn = strategies.random(teacher, student, seed, exclude_identity=exclude)
    assert Counter(drawn.blocks) == Counter(plain.blocks)
    if exclude and len(set(plain.blocks)) > 1:
        assert drawn != plain


def test_random_draws_every_order_alike() -> None:
    draws = [strategies.random(12, 3, s, exclude_identity=False).blocks for s in range(3000)]
    counts = Counter(draws)
    assert set(counts) == set(permutations([4, 8, 12]))
    assert all(400 < count < 600 for count in counts.values())  # 500 expected, sd 20
    left = Counter(strategies.random(12, 3, seed).blocks for seed in range(3000))
    assert set(left) == set(permutations([4, 8, 12])) - {(4, 8, 12)}
    assert all(480 < count < 720 for count in left.values())  # 600 expected, sd 22


def test_in_order_random_draws_every_subset_alike() -> None:
    counts = Counter(strategies.in_order_random(5, 2, seed).blocks for seed in range(3000))
    assert set(counts) == set(combinations(range(1, 6), 2))
    assert all(210 < count < 390 for count in counts.values())  # 300 expected, sd 16


@given(depths, depths, seeds)
def test_in_order_random_rises(teacher: int, student: int, seed: int) -> None:
    blocks = [b for b in strategies.in_order_random(teacher, student, seed).blocks if b is not None]
    assert blocks == sorted(blocks)
    if student <= teacher:
        assert len(set(blocks)) == student


def test_uniform_random_draws_every_map_alike() -> None:
    counts = Counter(strategies.uniform_random(3, 2, seed).blocks for seed in range(2700))
    assert len(counts) == 9
    assert all(210 < count < 390 for count in counts.values())  # 300 expected, sd 16


def test_last_matches_the_last_blocks_alone() -> None:
    assert strategies.last(12, 3, 0).matched_blocks() == ((3, 12),)
    assert strategies.last(12, 1, 0).matched_blocks() == ((1, 12),)


@given(depths, depths, st.data())
def test_upper_matches_the_last_teacher_block_from_above(
    teacher: int, student: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, student))
    pairs = strategies.upper(teacher, student, 0, k=k).matched_blocks()
    assert pairs == tuple((s, teacher) for s in range(student - k + 1, student + 1))
    half = strategies.upper(teacher, student, 0).matched_blocks()
    assert len(half) == (student + 1) // 2
    assert strategies.upper(teacher, student, 0, k=1) == strategies.last(teacher, student, 0)
    assert strategies.upper(teacher, student, 0, k=student) == (
        strategies.all_to_one(teacher, student, 0, block=teacher)
    )


@given(depths, depths)
def test_one_to_many_divides_the_teacher_into_consecutive_groups(
    teacher: int, student: int
) -> None:
    layer_map = strategies.one_to_many(teacher, student, 0)
    groups = [[t for s, t in layer_map.matched_blocks() if s == block]
              for block in range(1, student + 1)]  # fmt: skip
    assert tuple(group[-1] for group in groups) == strategies.forward(teacher, student, 0).blocks
    if student <= teacher:
        assert [t for group in groups for t in group] == list(range(1, teacher + 1))
        assert max(map(len, groups)) - min(map(len, groups)) <= 1
    else:
        assert all(len(group) == 1 for group in groups)
    if student >= teacher:
        assert layer_map == strategies.forward(teacher, student, 0)


def test_one_to_many_as_text() -> None:
    assert str(strategies.one_to_many(12, 3, 0)) == "[1-4, 5-8, 9-12]"
    assert str(strategies.one_to_many(12, 5, 0)) == "[1-3, 4-5, 6-8, 9-10, 11-12]"


def test_single_matches_the_pair_it_is_told() -> None:
    assert strategies.single(12, 3, 0).matched_blocks() == ((2, 6),)
    assert strategies.single(12, 3, 0, student_block=3, block=12).matched_blocks() == ((3, 12),)
    assert strategies.single(1, 1, 0).matched_blocks() == ((1, 1),)


@given(depths, depths, st.data())
def test_all_to_one_matches_the_block_it_is_told(
    teacher: int, student: int, data: st.DataObject
) -> None:
    block = data.draw(st.integers(1, teacher))
    assert strategies.all_to_one(teacher, student, 0, block=block).blocks == (block,) * student
