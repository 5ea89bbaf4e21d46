"""Maps of two stacks in analysis and report: each half in its own place."""

from __future__ import annotations

import itertools

import pytest

from raykd.analysis.stats.search import importance
from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap
from raykd.report import search_figures
from raykd.report.map_figures import Drawn, layer_maps
from raykd.report.plotting import marks

FORWARD = "{encoder: [2, 4], decoder: [2, 4]}"


def test_each_stack_has_a_row_of_its_own() -> None:
    both = LayerMap((2, 4), 0, decoder=LayerMap((6, None)))
    drawn = layer_maps([Drawn("mixed", (both,))], Depth(4, 6), marks(["mixed"])).figure
    titles = [a.text for a in drawn.layout.annotations]
    assert [t.split("  ")[0] for t in titles] == ["<b>mixed</b>, encoder", "<b>mixed</b>, decoder"]
    said = [t.hovertext for t in drawn.data if t.mode == "lines"]
    assert [s.split(",")[0] for s in said] == [
        "student block 0 imitates teacher block 0",
        "student block 1 imitates teacher block 2",
        "student block 2 imitates teacher block 4",
        "student block 1 imitates teacher block 6",
    ]


def test_the_search_tells_the_decoders_blocks_from_the_encoders() -> None:
    """Only the decoder's second block matters here."""
    maps = [
        LayerMap((a, b), decoder=LayerMap((c, d)))
        for a, b, c, d in itertools.product((1, 3), (2, 4), (1, 3), (2, 4))
    ]
    scores = {str(m): 70.0 + m.halves[1].blocks[1] for m in maps}  # type: ignore[operator]
    found = importance.landscape(scores, FORWARD, None)
    assert found is not None and found.encoder == 2
    shares = {found.label(p.block): p.share for p in found.positions}
    assert list(shares) == ["encoder 1", "encoder 2", "decoder 1", "decoder 2"]
    assert shares["decoder 2"] == pytest.approx(1, abs=0.02)
    reverse = next(p for p in found.points if p.map == "{encoder: [3, 2], decoder: [3, 2]}")
    assert (reverse.inversions, reverse.displacement, reverse.span) == (2, 1.5, 1)
    assert "student block decoder 2 100 percent" in search_figures.importance(found).alt
    assert (
        search_figures.landscape(found, Depth(4, 4), "select chrf").figure.data[0].y[2]
        == "decoder 1"
    )
