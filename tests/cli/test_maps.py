"""The pictures of maps: everything in them is the map's, and they fit a terminal."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.cli.maps import depth, maps
from raykd.errors import UserError
from raykd.maps.depth import Depth
from raykd.maps.grid import WIDTH
from raykd.maps.layer_map import LayerMap
from raykd.maps.published import PUBLISHED, RULES
from raykd.maps.strategies import STRATEGIES, match_embedding


def picture(layer_map: LayerMap, teacher: Depth | int, title: str) -> str:
    return layer_map.picture(teacher, title)


@st.composite
def drawn(draw: st.DrawFn, deepest: int = 60) -> tuple[LayerMap, Depth]:
    """A map, embeddings among its pairs or not, and its teacher's depth."""
    teacher = draw(st.integers(1, deepest))
    blocks = draw(st.lists(st.none() | st.integers(1, teacher), min_size=1, max_size=40))
    embedding = draw(st.none() | st.integers(0, teacher))
    return LayerMap(tuple(blocks), embedding), Depth(teacher)


def read(lines: list[str], columns: list[int]) -> dict[str, list[int]]:
    """For each row's student state, the teacher states under its dots."""
    rows = (line.split("│") for line in lines)
    return {
        name.strip(): [c for c, mark in zip(columns, dots.split(), strict=False) if mark == "●"]
        for name, dots in rows
    }


@given(drawn(deepest=30))
def test_dots_stand_where_the_map_matches(case: tuple[LayerMap, Depth]) -> None:
    layer_map, teacher = case
    first = 0 if layer_map.embedding is not None else 1
    depth = layer_map.depth.encoder
    states = depth + 1 - first
    rows = picture(layer_map, teacher, "a title").splitlines()[-states:]
    dots = read(rows, list(range(first, teacher.encoder + 1)))
    pairs = dict(layer_map.matched_blocks())
    for state in range(first, depth + 1):
        expected = [pairs[state]] if state in pairs else []
        assert dots[str(state) if state else "emb"] == expected


@given(drawn(deepest=200))
def test_every_row_says_its_match_in_words(case: tuple[LayerMap, Depth]) -> None:
    layer_map, teacher = case
    rows = picture(layer_map, teacher, "a title").splitlines()[-len(layer_map.blocks) :]
    for row, block in zip(rows, layer_map.blocks, strict=True):
        says = "not matched" if block is None else f"imitates {block}"
        assert row.endswith(f" {says}")


@given(drawn(deepest=200))
def test_a_picture_fits_a_hundred_columns(case: tuple[LayerMap, Depth]) -> None:
    lines = picture(*case, "in_order_random").splitlines()
    assert max(map(len, lines)) <= WIDTH == 100
    assert all(line == line.rstrip() for line in lines)


@given(drawn())
def test_the_title_and_the_map_as_text_come_first(case: tuple[LayerMap, Depth]) -> None:
    head = " ".join(picture(*case, "a title").split("│")[0].split())
    assert head.startswith(f"a title {case[0]}")


def test_a_picture() -> None:
    shown = picture(LayerMap((12, None, 4), embedding=0), Depth(12), "mine")
    assert shown.splitlines() == [
        "mine  [12, null, 4] + embedding",
        "  student │ teacher block",
        "    block │ emb  1  2  3  4  5  6  7  8  9 10 11 12",
        "      emb │   ●  ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  imitates emb",
        "        1 │   ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  ●  imitates 12",
        "        2 │   ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  not matched",
        "        3 │   ·  ·  ·  ·  ●  ·  ·  ·  ·  ·  ·  ·  ·  imitates 4",
    ]


@pytest.mark.parametrize(("teacher", "fewest"), [(12, 12), (24, 24), (36, 7), (60, 6)])
def test_numbers_stand_over_their_columns(teacher: int, fewest: int) -> None:
    head = picture(LayerMap((1,)), Depth(teacher), "one").splitlines()[-2]
    numbers = list(re.finditer(r"\d+", head))
    assert len(numbers) >= fewest
    for number in numbers:
        row = picture(LayerMap((int(number[0]),)), Depth(teacher), "one").splitlines()[-1]
        assert row.index("●") == number.end() - 1


# Which maps are shown


def test_all_strategies_are_shown_unless_some_are_named() -> None:
    assert [name for name, _ in maps(Depth(12), Depth(3), [], 0, False)] == list(RULES)
    assert [name for name, _ in maps(Depth(12), Depth(3), ["last", "none"], 0, False)] == [
        "last",
        "none",
    ]


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 99))
def test_shown_maps_are_the_strategies_own(teacher: int, student: int, seed: int) -> None:
    for name, layer_map in maps(Depth(teacher), Depth(student), [], seed, False):
        assert layer_map == RULES[name](teacher, student, seed)


@pytest.mark.parametrize(("teacher", "student"), [(12, 3), (12, 6), (12, 9)])
def test_the_paper_preset_matches_the_embeddings_of_encoders(teacher: int, student: int) -> None:
    for name, layer_map in maps(Depth(teacher), Depth(student), [], 0, True):
        assert layer_map == match_embedding(STRATEGIES[name](teacher, student, 0), name)
        assert (layer_map.embedding is None) == (name == "none")


@pytest.mark.parametrize(("teacher", "student"), [(28, 7), (36, 9), (40, 10)])
def test_the_paper_preset_leaves_the_embeddings_of_decoders(teacher: int, student: int) -> None:
    assert all(m.embedding is None for _, m in maps(Depth(teacher), Depth(student), [], 0, True))


def test_the_paper_preset_leaves_published_methods_as_their_own_papers_have_them() -> None:
    for name, layer_map in maps(Depth(12), Depth(6), list(PUBLISHED), 0, True):
        assert layer_map == RULES[name](12, 6, 0)


def test_a_range_is_a_row_of_dots() -> None:
    shown = picture(LayerMap((1, 2, None), upto=(3, 4, None)), Depth(4), "drawn anew")
    assert shown.splitlines() == [
        "drawn anew  [1-3, 2-4, null]",
        "  student │ teacher block",
        "    block │   1  2  3  4",
        "        1 │   ●  ●  ●  ·  imitates 1 to 3",
        "        2 │   ·  ●  ●  ●  imitates 2 to 4",
        "        3 │   ·  ·  ·  ·  not matched",
    ]


BLOCKS = "write a number of blocks from 1 on, or encoder+decoder as in 12+12"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("0", "3", []), f"--teacher: 0; {BLOCKS}"),
        (("12", "-1", []), f"--student: -1; {BLOCKS}"),
        (("12", "3+3+3", []), f"--student: 3+3+3; {BLOCKS}"),
        (
            ("12+12", "3", []),
            "--student: as many stacks as --teacher has; write 3, or 3+3 for 12+12",
        ),
        (("12", "3", ["forwards"]), "--strategy: 'forwards' is not known; did you mean forward?"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments: tuple[str, str, list[str]], line: str) -> None:
    teacher, student, names = arguments
    with pytest.raises(UserError) as caught:
        maps(depth("--teacher", teacher), depth("--student", student), names, 0, False)
    assert caught.value.lines == (line,)


def test_a_name_like_none_other_is_answered_with_all() -> None:
    with pytest.raises(UserError, match="known: none, forward, reverse"):
        maps(Depth(12), Depth(3), ["zzz"], 0, False)
