"""Figures of the search over maps: history, landscape and importance of each position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import plotly.graph_objects as go

from raykd.analysis.digits import Digits
from raykd.analysis.stats.search.importance import Landscape, Trend
from raykd.maps.depth import Depth
from raykd.report.plotting import COLOURS, INK, PALE, Drawing, canvas, rows_height

BLUE, ORANGE, LIGHT = COLOURS[0], COLOURS[1], COLOURS[5]
HEAT = "#b5ddf5"  # light enough under numbers in ink; report.js has its dark form


@dataclass(frozen=True)
class ExploredMap:
    """A map explored by the search, and its best select score in the metric's units."""

    map: str
    score: float


def history(tried: Sequence[ExploredMap], score: str, larger_is_better: bool = True) -> Drawing:
    """Draw every explored map in the order of the search, and the best score so far."""
    scores = [t.score for t in tried]
    order = list(range(1, len(scores) + 1))
    digits = Digits.of(0.0, *scores)
    pick = max if larger_is_better else min
    best = list(accumulate(scores, pick))
    figure = canvas(300, "maps tried", score, showlegend=True)
    figure.add_trace(
        go.Scatter(
            x=order, y=scores, mode="markers", name="a map", text=[t.map for t in tried],
            marker={"color": BLUE, "size": 7, "opacity": 0.7},
            hovertemplate=f"%{{text}}<br>%{{y:{digits.code}}}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=order, y=best, mode="lines", name="best so far", hoverinfo="skip",
            line={"color": ORANGE, "width": 2, "shape": "hv"},
        )
    )  # fmt: skip
    if len(order) <= 12:
        figure.update_xaxes(dtick=1)
    first = scores.index(best[-1])
    alt = (
        f"{len(scores)} maps tried, {score} from {digits.plain(min(scores))} to "
        f"{digits.plain(max(scores))}; the best, "
        f"{tried[first].map}, came as number {first + 1}."
    )
    return Drawing("history", "The search, map by map", alt, figure, 300)


def landscape(explored: Landscape, teacher: Depth, score: str) -> Drawing:
    """Draw the mean score by student block and the teacher block that it imitates."""
    depth = max(p.student for p in explored.places)
    deepest = max(teacher.stacks)
    digits = Digits.of(0.0, *(p.mean for p in explored.places))
    skips = any(p.teacher is None for p in explored.places)
    blocks = [*([None] if skips else []), *range(1, deepest + 1)]
    grid: list[list[float | None]] = [[None] * len(blocks) for _ in range(depth)]
    words = [[""] * len(blocks) for _ in range(depth)]
    for place in explored.places:
        row, column = place.student - 1, blocks.index(place.teacher)
        grid[row][column] = place.mean
        words[row][column] = digits.plain(place.mean) if len(blocks) <= 8 else ""
    height = rows_height(depth, 44) + 30
    untried = any(score is None for row in grid for score in row)
    label = "imitates teacher block" + (" (grey: not tried)" if untried else "")
    figure = canvas(height, label, "student block")
    figure.add_trace(
        go.Heatmap(
            z=grid, x=[_block(b) for b in blocks], y=[explored.label(i + 1) for i in range(depth)],
            text=words, texttemplate="%{text}", textfont={"color": INK},
            colorscale=[[0, "#ffffff"], [1, HEAT]], xgap=2, ygap=2,
            colorbar={"thickness": 12, "outlinewidth": 0},
            hovertemplate=f"student %{{y}} on teacher %{{x}}: %{{z:{digits.code}}}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_layout(plot_bgcolor=PALE)  # combinations that were not tried
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    low, high = (pick(explored.places, key=lambda p: p.mean) for pick in (min, max))
    alt = (
        f"Mean {score} of the maps in which a student block imitates a teacher block: lowest "
        f"{digits.plain(low.mean)} (student {explored.label(low.student)}, teacher "
        f"{_block(low.teacher)}), "
        f"highest {digits.plain(high.mean)} (student {explored.label(high.student)}, teacher "
        f"{_block(high.teacher)})."
    )
    return Drawing("landscape", "Score by position and block", alt, figure, height)


def _block(block: int | None) -> str:
    return "none" if block is None else str(block)


DISTANCES = (
    ("inversions", "Score by order", "pairs of blocks in the opposite order"),
    ("displacement", "Score by place", "mean distance in blocks to forward's"),
    ("span", "Score by span", "highest minus lowest teacher block"),
)


def distances(explored: Landscape, score: str) -> tuple[Drawing, ...]:
    """Draw the score against three distances from forward, with the verdict's rank correlations."""
    trends = {t.what: t for t in explored.trends}
    return tuple(
        _against(explored, name, title, label, trends.get(name), score)
        for name, title, label in DISTANCES
    )


def _against(
    explored: Landscape, name: str, title: str, label: str, trend: Trend | None, score: str
) -> Drawing:
    figure = canvas(260, label, score)
    code = Digits.of(0.0, *(p.score for p in explored.points)).code
    figure.add_trace(
        go.Scatter(
            x=[getattr(p, name) for p in explored.points], y=[p.score for p in explored.points],
            text=[p.map for p in explored.points], mode="markers",
            marker={"color": BLUE, "size": 7, "opacity": 0.6},
            hovertemplate=f"%{{text}}<br>%{{y:{code}}}<extra></extra>",
        )
    )  # fmt: skip
    if name != "displacement" and max(getattr(p, name) for p in explored.points) <= 12:
        figure.update_xaxes(dtick=1)
    correlation = "all maps alike"
    if trend is not None:
        correlation = f"rank correlation {trend.rho:+z.2f}, p {trend.p:.3f}"
    alt = f"{score} against {label}: {correlation}, over {explored.maps} maps."
    return Drawing(name, f"{title} ({correlation})", alt, figure, 260)


def importance(explored: Landscape) -> Drawing:
    """Draw the share of variance that each position explains, and that of seed noise alone."""
    names = [f"student block {explored.label(p.block)}" for p in explored.positions]
    shares = [100 * p.share for p in explored.positions]
    height = rows_height(len(names)) + 40
    figure = canvas(height, "percent of the scores' variance", None, showlegend=True)
    figure.add_trace(
        go.Bar(
            x=shares, y=names, orientation="h", name="this position's choice",
            marker={"color": LIGHT}, text=[f"p {p.p:.3f}" for p in explored.positions],
            textposition="auto", hovertemplate="%{x:.0f} percent<extra></extra>",
        )
    )  # fmt: skip
    if explored.noise is not None:
        style = {"color": ORANGE, "width": 2, "dash": "dash"}
        figure.add_vline(x=100 * explored.noise, line=style)
        # Shapes are not shown in the legend, so an empty trace stands in for the line.
        figure.add_trace(
            go.Scatter(x=[None], y=[None], mode="lines", name="seed noise alone", line=style)
        )
    figure.update_xaxes(range=[0, 104])  # the label of 100 has room
    figure.update_yaxes(autorange="reversed")
    summary = "; ".join(
        f"{n} {s:.0f} percent (p {p.p:.3f})"
        for n, s, p in zip(names, shares, explored.positions, strict=True)
    )
    alt = f"Share of the explored scores' variance: {summary}."
    if explored.noise is not None:
        alt += f" Seed noise alone would make {100 * explored.noise:.0f} percent."
    return Drawing("importance", "Which position's choice matters", alt, figure, height)
