"""Entries of a layer map: sets of teacher blocks, their weights and losses, as text and as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap, check
from raykd.maps.targets import Target, from_pairs, targets

target_values = st.builds(
    Target,
    st.integers(1, 40),
    st.sampled_from([1.0, 0.5, 2.0, 1e-05, 0.1 + 0.2, 1e16, 3]),
    st.sampled_from([None, "cosine", "mse"]),
)
entries = st.none() | st.lists(
    target_values, min_size=1, max_size=4, unique_by=lambda target: target.block
)
set_maps = st.builds(
    LayerMap.of, st.lists(entries, min_size=1, max_size=6), st.none() | st.integers(0, 12)
)


@given(set_maps)
def test_a_set_map_round_trips_through_text_and_json(layer_map: LayerMap) -> None:
    assert LayerMap.parse(str(layer_map)) == layer_map
    assert LayerMap.from_json(json.loads(json.dumps(layer_map.to_json()))) == layer_map
    assert LayerMap.of((t or None for t in layer_map.targets), layer_map.embedding) == layer_map


@given(set_maps, set_maps)
def test_maps_are_equal_where_their_texts_are(first: LayerMap, second: LayerMap) -> None:
    assert (first == second) == (str(first) == str(second))
    assert (first == second) == (first.to_json() == second.to_json())


@given(set_maps)
def test_every_pair_has_a_term(layer_map: LayerMap) -> None:
    stated = [(i, t) for i, of_block in enumerate(layer_map.targets, 1) for t in of_block]
    embedding = layer_map.embedding is not None
    pairs = list(zip(layer_map.matched_blocks(), layer_map.pair_terms(), strict=True))
    assert pairs[embedding:] == [((i, t.block), (t.weight, t.loss)) for i, t in stated]
    assert len(layer_map.pairs()) == len(pairs)


@given(set_maps)
def test_upside_down_twice_is_the_same(layer_map: LayerMap) -> None:
    assert layer_map.upside_down.targets == layer_map.targets[::-1]
    assert layer_map.upside_down.upside_down == layer_map


def test_sets_that_are_blocks_or_ranges_are_the_maps_of_today() -> None:
    assert LayerMap.of([[1, 2, 3, 4], [2], [6, 5]]) == LayerMap((1, 2, 5), upto=(4, 2, 6))
    assert LayerMap.of([4, None, "4"]) == LayerMap((4, None, 4))
    assert LayerMap.parse("[[1, 2], [3]]") == LayerMap.of(["1-2", 3])
    assert "targets" not in LayerMap.of([[1, 2], 3]).to_json()


def test_text_and_json_of_a_set() -> None:
    layer_map = LayerMap.of([[4, 1], "0.5*cosine(2)", None, [5, "2*6"]])
    assert str(layer_map) == "[[1, 4], 0.5*cosine(2), null, [5, 2*6]]"
    assert layer_map.entries == ("[1, 4]", "0.5*cosine(2)", "null", "[5, 2*6]")
    assert layer_map.blocks == (1, 2, None, 5)
    assert layer_map.pair_losses == {"cosine"}
    assert LayerMap.of(["0.5*cosine(2)"]).to_json() == {
        "map": [2], "embedding": False,
        "targets": [[{"block": 2, "weight": 0.5, "loss": "cosine"}]],
    }  # fmt: skip
    problem = check(layer_map, Depth(5), Depth(4))
    assert problem == f"{layer_map} names teacher block 6, the teacher has 5 blocks"


def test_a_picture_says_what_its_dots_do_not() -> None:
    picture = LayerMap.of([[1, "0.5*4"], "2-3", "cosine(4)"]).picture(4)
    first, second, third = picture.splitlines()[-3:]
    assert first.endswith("imitates 1, 0.5*4") and first.count("●") == 2
    assert second.endswith("imitates 2 to 3") and third.endswith("imitates cosine(4)")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ([], "no set"), ([1, None], "no set"), (0, "whole number"), (True, "whole number"),
        (1.5, "whole number"), ([1, 1], "twice"), (["1-4", 3], "twice"), ("4-2", "range"),
        ("0*4", "greater than 0"), ("-1*4", "no teacher block"), ("0.5*", "no teacher block"),
        ("cosine()", "no teacher block"), ("1e999*4", "greater than 0"), ({"block": 1}, "number"),
    ],
)  # fmt: skip
def test_what_is_no_entry_is_refused_with_what_to_write(entry: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        targets(entry)


@pytest.mark.parametrize(
    "text", ["[[1, [2]]]", "[[1, 2]", "[1, 2]]", "[[1 2]]", "[[1, 2],]", "[[],1]"]
)
def test_text_of_no_map_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a layer map"):
        LayerMap.parse(text)


def test_pairs_name_each_student_block() -> None:
    pairs = [(2, Target(4)), (1, Target(3, 0.5)), (2, Target(1))]
    assert LayerMap((None,) * 3, sets=tuple(from_pairs(pairs, 3))) == LayerMap.of(
        ["0.5*3", [1, 4], None]
    )
    with pytest.raises(ValueError, match="a pair twice"):
        from_pairs([(1, Target(3)), (1, Target(3, 0.5))], 3)
    with pytest.raises(ValueError, match="student block 4"):
        from_pairs([(4, Target(3))], 3)
