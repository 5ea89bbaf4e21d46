"""Importance and the landscape on maps whose scores are known functions of their blocks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from raykd.analysis.stats.search import importance
from raykd.maps.layer_map import LayerMap

FORWARD = "[2, 4, 6]"
RNG = np.random.default_rng(0)


def tried(score: dict[tuple[int, ...], float]) -> dict[str, float]:
    return {str(LayerMap(m)): s for m, s in score.items()}


def test_the_position_that_matters_is_found_and_noise_is_told_apart() -> None:
    """All 216 maps: the last block explains 35/12, the first 0.09 times that, noise 0.25."""
    scores = {
        m: m[2] + 0.3 * m[0] + RNG.normal(0, 0.5) for m in itertools.product(range(1, 7), repeat=3)
    }
    luck = RNG.normal(0, 3, (40, 1))
    confirmed = luck + np.array([0.0, 2.0, 4.0]) + RNG.normal(0, 0.5, (40, 3))
    found = importance.landscape(tried(scores), FORWARD, confirmed)
    assert found is not None and found.maps == 216
    shares = {p.block: p.share for p in found.positions}
    total = 35 / 12 * 1.09 + 0.25
    assert shares[3] == pytest.approx(35 / 12 / total, abs=0.05)
    assert shares[1] == pytest.approx(35 / 12 * 0.09 / total, abs=0.04)
    assert shares[2] < 0.03 and found.noise == pytest.approx(0.25 / total, abs=0.03)
    p = {p.block: p.p for p in found.positions}
    assert p[3] == 0.001 and p[1] < 0.05 < p[2]
    assert sum(x.maps for x in found.places if x.student == 2) == 216
    means = [x.mean for x in found.places if x.student == 3]
    assert means == sorted(means)


def test_maps_that_do_not_matter_are_dealt_out_by_chance() -> None:
    """Under the null a permutation p-value is at most alpha in alpha of the cases."""
    maps = list(itertools.product(range(1, 5), repeat=2))
    low = 0
    for _ in range(60):
        scores = RNG.normal(size=len(maps))
        low += sum(p <= 0.1 for p in importance.by_chance(maps, scores).values())
    assert low / 120 < 0.1 + 4 * np.sqrt(0.09 / 120)


def test_a_set_counts_at_each_of_its_blocks() -> None:
    """The score is that of the mean of the set; weights are no part of a place."""
    maps = [LayerMap.of([s, "0.5*2"]) for s in (1, 2, 3, 4, [1, 3], [1, 4], [2, 4], [3, 4])]
    scores = {str(m): float(np.mean([t.block for t in m.targets[0]])) for m in maps}
    found = importance.landscape(scores, "[2, 4]", None)
    assert found is not None
    places = {(p.student, p.teacher): p for p in found.places}
    assert [places[1, b].maps for b in (1, 2, 3, 4)] == [3, 2, 3, 4] and places[2, 2].maps == 8
    assert places[1, 1].mean == pytest.approx((1 + 2 + 2.5) / 3)
    by_map = {p.map: p for p in found.points}
    point = by_map["[[1, 4], 0.5*2]"]
    assert (point.inversions, point.displacement, point.span) == (1, 1.25, 3)


def test_distances_from_forward() -> None:
    assert [importance.inversions(b) for b in ([2, 4, 6], [6, 4, 2], [3, 3, 3], [6, None, 2])] == [
        0, 3, 0, 1,
    ]  # fmt: skip
    assert importance.displacement([2, 4, 6], [2, 4, 6]) == 0
    assert importance.displacement([6, None, 2], [2, 4, 6]) == 4
    assert (importance.span([6, 4, 2]), importance.span([3]), importance.span([])) == (4, 0, 0)


def test_a_score_that_falls_with_disorder_shows_it() -> None:
    scores = {
        m: -importance.inversions(m) + RNG.normal(0, 0.1)
        for m in itertools.product(range(1, 5), repeat=3)
    }
    found = importance.landscape(tried(scores), "[2, 3, 4]", None)
    assert found is not None and found.noise is None
    trends = {t.what: t.rho for t in found.trends}
    assert trends["inversions"] < -0.8 < trends["span"]
    turned = importance.landscape({m: -s for m, s in tried(scores).items()}, "[2, 3, 4]", None, -1)
    assert turned is not None and turned.trends == found.trends


def test_few_maps_or_one_score_have_no_landscape() -> None:
    few = {f"[{a}, 4, 6]": float(a) for a in range(1, 6)}
    assert importance.landscape(few, FORWARD, None) is None
    flat = {str(LayerMap((a, b))): 80.0 for a in range(1, 5) for b in range(1, 5)}
    assert importance.landscape(flat, "[2, 4]", None) is None
