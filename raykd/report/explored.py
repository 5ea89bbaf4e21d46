"""The search over maps, drawn: its history, its landscape, what each position's choice explains."""

from __future__ import annotations

from itertools import accumulate

import plotly.graph_objects as go
from scipy import stats

from raykd.analysis.landscape import Distance, Landscape, distance
from raykd.report.drawing import COLOURS, INK, Drawing, canvas, rows_height

BLUE, ORANGE, LIGHT = COLOURS[0], COLOURS[1], COLOURS[5]


def history(found: Landscape, score: str) -> Drawing:
    """Every explored map in the order it was tried, and the best so far."""
    scores = [p.score for p in found.points]
    order = list(range(1, len(scores) + 1))
    names = [str(p.layer_map) for p in found.points]
    best = list(accumulate(scores, max))
    figure = canvas(300, "maps tried", score, showlegend=True)
    figure.add_trace(
        go.Scatter(x=order, y=scores, mode="markers", name="a map", text=names,
                   marker={"color": BLUE, "size": 7, "opacity": 0.7},
                   hovertemplate="%{text}<br>%{y:.2f}<extra></extra>")
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(x=order, y=best, mode="lines", name="best so far",
                   line={"color": ORANGE, "width": 2, "shape": "hv"}, hoverinfo="skip")
    )  # fmt: skip
    top = found.best
    alt = (
        f"{len(scores)} maps tried, {score} from {min(scores):.2f} to {max(scores):.2f}; the best, "
        f"{top.layer_map}, came as number {found.points.index(top) + 1}."
    )
    return Drawing("history", "The search, map by map", alt, figure, 300)


def landscape(found: Landscape, score: str) -> Drawing:
    """Mean score by student block and the teacher block that it imitates."""
    depth = max(c.position for c in found.cells)
    blocks = sorted({c.block or 0 for c in found.cells} | set(range(1, found.teacher + 1)))
    grid: list[list[float | None]] = [[None] * len(blocks) for _ in range(depth)]
    words = [[""] * len(blocks) for _ in range(depth)]
    few = len(blocks) <= 8
    for cell in found.cells:
        row, column = cell.position - 1, blocks.index(cell.block or 0)
        grid[row][column] = cell.mean
        words[row][column] = f"{cell.mean:.1f}" if few else ""
    height = rows_height(depth, 44) + 30
    figure = canvas(height, "imitates teacher block", "student block")
    figure.add_trace(
        go.Heatmap(
            z=grid, x=[_block(b) for b in blocks], y=[str(i + 1) for i in range(depth)],
            text=words, texttemplate="%{text}", colorscale="Cividis", xgap=2, ygap=2,
            colorbar={"thickness": 12, "outlinewidth": 0},
            hovertemplate="student %{y} on teacher %{x}: %{z:.2f}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    low, high = (f(found.cells, key=lambda c: c.mean) for f in (min, max))
    alt = (
        f"Mean {score} of the maps in which a student block imitates a teacher block: lowest "
        f"{low.mean:.2f} (student {low.position}, teacher {_block(low.block)}), highest "
        f"{high.mean:.2f} (student {high.position}, teacher {_block(high.block)})."
    )
    return Drawing("landscape", "Score by position and block", alt, figure, height)


def distances(found: Landscape, score: str) -> tuple[Drawing, ...]:
    """Score against three distances from forward, with Spearman's rank correlation."""
    pairs = [
        (distance(p.layer_map, found.teacher), p.score)
        for p in found.points
        if any(p.layer_map.blocks)
    ]
    return tuple(
        _against(name, title, label, pairs, score)
        for name, title, label in (
            ("inversions", "Score by order", "pairs of blocks in the other order"),
            ("displacement", "Score by place", "mean blocks away from forward's"),
            ("span", "Score by span", "highest minus lowest block named"),
        )
    )


def _against(
    name: str, title: str, label: str, pairs: list[tuple[Distance, float]], score: str
) -> Drawing:
    x = [float(getattr(d, name)) for d, _ in pairs]
    y = [s for _, s in pairs]
    figure = canvas(260, label, score)
    figure.add_trace(
        go.Scatter(x=x, y=y, mode="markers",
                   marker={"color": BLUE, "size": 7, "opacity": 0.6},
                   hovertemplate="%{x:.2f}: %{y:.2f}<extra></extra>")
    )  # fmt: skip
    told = "no correlation can be computed"
    if len(set(x)) > 1 and len(set(y)) > 1:
        told = f"rank correlation {stats.spearmanr(x, y).statistic:+.2f}"
    alt = f"{score} against {label}: {told} over {len(x)} maps."
    return Drawing(name, f"{title} ({told})", alt, figure, 260)


def importance(found: Landscape) -> Drawing:
    """The share of variance that each position explains, what chance reaches, the seed's share."""
    names = [f"student block {i.position}" for i in found.importance]
    shares = [100 * i.share for i in found.importance]
    chance = [100 * i.by_chance for i in found.importance]
    height = rows_height(len(names)) + 40
    figure = canvas(height, "percent of the scores' variance", None, showlegend=True)
    figure.add_trace(
        go.Bar(x=shares, y=names, orientation="h", name="this position's choice",
               marker={"color": LIGHT}, hovertemplate="%{x:.0f} percent<extra></extra>")
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(x=chance, y=names, mode="markers", name="reached by chance",
                   marker={"symbol": "line-ns", "size": 18, "color": INK,
                           "line": {"width": 3, "color": INK}}, hoverinfo="skip")
    )  # fmt: skip
    seed = found.seed_share
    if seed is not None and seed <= 1:
        figure.add_vline(x=100 * seed, line={"color": ORANGE, "width": 2, "dash": "dash"})
        figure.add_trace(  # a shape has no place in the legend
            go.Scatter(x=[None], y=[None], mode="lines", name="a change of seed alone",
                       line={"color": ORANGE, "width": 2, "dash": "dash"})
        )  # fmt: skip
    figure.update_xaxes(range=[0, max(100.0, *shares)])
    figure.update_yaxes(autorange="reversed")
    told = "; ".join(f"{n} {s:.0f} percent" for n, s in zip(names, shares, strict=True))
    alt = f"Share of the explored scores' variance: {told}; chance alone reaches {chance[0]:.0f}."
    if seed is not None:
        alt += f" A change of seed alone brings {100 * seed:.0f} percent."
    return Drawing("importance", "Which position's choice matters", alt, figure, height)


def _block(block: int | None) -> str:
    return str(block) if block else "none"
