"""The landscape of a search: distances by hand, means by cell, importance where it was planted."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.analysis.landscape import Distance, Point, cells, distance, importance, survey
from raykd.layermap import LayerMap, forward, reverse
from raykd.search import best_maps
from raykd.space import Space


@pytest.mark.parametrize(
    ("blocks", "inversions", "displacement", "span"),
    [
        ((4, 8, 12), 0, 0.0, 8),
        ((12, 8, 4), 3, 16 / 3, 8),
        ((6, 6, 6), 0, (2 + 2 + 6) / 3, 0),
        ((8, 4, 12), 1, 8 / 3, 8),
        ((None, None, 12), 0, 0.0, 0),
        ((12, None, 4), 1, 8.0, 8),
    ],
)
def test_distances_from_forward_by_hand(
    blocks: tuple[int | None, ...], inversions: int, displacement: float, span: int
) -> None:
    found = distance(LayerMap(blocks), 12)
    assert found == Distance(inversions, pytest.approx(displacement), span)


@given(st.integers(1, 40), st.integers(1, 12))
def test_forward_is_at_no_distance_and_reverse_has_every_pair_turned(
    teacher: int, student: int
) -> None:
    straight = distance(forward(teacher, student, 0), teacher)
    assert (straight.inversions, straight.displacement) == (0, 0)
    distinct = len(set(forward(teacher, student, 0).blocks))
    turned = distance(reverse(teacher, student, 0), teacher)
    assert turned.span == straight.span
    if distinct == student:
        assert turned.inversions == student * (student - 1) // 2


def test_a_map_that_matches_nothing_is_at_no_distance() -> None:
    with pytest.raises(ValueError, match="matches nothing"):
        distance(LayerMap((None, None)), 4)


def test_a_cells_mean_is_over_the_maps_that_hold_it() -> None:
    points = [
        Point(LayerMap((1, 2)), 70.0), Point(LayerMap((1, 3)), 74.0), Point(LayerMap((2, 3)), 60.0),
    ]  # fmt: skip
    found = {(c.position, c.block): (c.mean, c.maps) for c in cells(points)}
    assert found == {(1, 1): (72, 2), (1, 2): (60, 1), (2, 2): (70, 1), (2, 3): (67, 2)}


def explored(planted: float, seed: int = 0) -> list[Point]:
    """Every map of 4 blocks to 3, with noise, and a gain where student block 2 meets block 4."""
    rng = Random(seed)
    return [
        Point(m, rng.gauss(70, 1) + planted * (m.blocks[1] == 4)) for m in Space(4, 3)
    ]  # fmt: skip


def test_a_planted_position_stands_out_and_noise_does_not() -> None:
    first, second, third = importance(explored(5.0))
    assert second.position == 2 and second.share > 0.7
    assert second.share > second.by_chance > max(first.share, third.share)
    noise = importance(explored(0.0))
    assert max(i.share for i in noise) < 1.5 * noise[0].by_chance


def test_importance_says_nothing_of_few_or_equal_points() -> None:
    assert importance(explored(5.0)[:9]) == ()
    assert importance([Point(m, 70.0) for m in Space(4, 3)]) == ()


def test_a_position_that_was_never_varied_explains_nothing() -> None:
    points = [p for p in explored(0.0) if p.layer_map.blocks[0] == 1]
    assert importance(points)[0].share == 0


def test_the_seeds_share_by_hand() -> None:
    points = [Point(LayerMap((1,)), 70.0), Point(LayerMap((2,)), 74.0)]  # variance 8
    found = survey(2, points, [[70.0, 72.0], [60.0, 64.0], [50.0]])  # variances 2 and 8
    assert found is not None and found.seed_share == pytest.approx(5 / 8)
    assert survey(2, points) is not None and survey(2, points).seed_share is None  # type: ignore[union-attr]
    assert survey(2, []) is None


def test_a_landscape_is_plain_json() -> None:
    found = survey(4, explored(1.0)[:12])
    assert found is not None
    told = json.loads(json.dumps(found.to_json()))
    assert len(told["points"]) == 12 and told["points"][0].keys() == {
        "map", "score", "inversions", "displacement", "span",
    }  # fmt: skip


def test_of_equal_maps_the_best_is_the_one_that_the_search_takes() -> None:
    maps = [LayerMap((4, 1)), LayerMap((2, 3)), LayerMap((1, 1))]
    found = survey(4, [Point(maps[0], 80.0), Point(maps[1], 80.0), Point(maps[2], 70.0)])
    assert found is not None
    assert [found.best.layer_map] == best_maps({maps[0]: 80, maps[1]: 80, maps[2]: 70}, 1)
