"""The figure of each strategy's difference to forward, and a caption made from what it draws."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import plotly.graph_objects as go

from raykd.analysis.summary.headline import unit
from raykd.analysis.verdict.verdict import Cell, Comparison, Verdict, levels
from raykd.report.figures import bounds, difference, settings
from raykd.report.plotting import (
    BAND,
    COLOURS,
    GREY,
    Drawing,
    Mark,
    canvas,
    rows_height,
    text,
)

FINDINGS = {
    "equivalent": Mark(COLOURS[0], "circle"),
    "different": Mark(COLOURS[1], "square"),
    "undecided": Mark(GREY, "diamond-open"),
}


def equivalence(number: int, cell: Cell, verdict: Verdict) -> Drawing:
    """Draw each strategy's difference to forward with its interval, and the band of the margin. An
    interval inside the band means equivalent, one outside it different."""
    rows = [*cell.to_forward][::-1]
    height = rows_height(len(rows)) + 50
    margin = verdict.margin
    figure = canvas(height, "difference to forward (right is better)", None, showlegend=True)
    figure.add_vrect(x0=-margin, x1=margin, fillcolor=BAND, line_width=0, layer="below")
    for bound in (-margin, 0.0, margin):
        dash = "solid" if bound == 0 else "dash"
        figure.add_vline(x=bound, line={"color": GREY, "width": 1, "dash": dash})
    for finding, style in FINDINGS.items():
        matching = [(y, c) for y, c in enumerate(rows) if c.finding == finding]
        figure.add_trace(_intervals(finding, style, matching, margin))
    figure.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=[text(c.strategy) for c in rows],
        range=[-0.6, len(rows) - 0.4],
    )  # fmt: skip
    reach = [1.15 * margin, *(abs(b) for c in rows for b in (c.effect, *bounds(c)))]
    figure.update_xaxes(range=[-1.05 * max(reach), 1.05 * max(reach)])
    summary = "; ".join(
        f"{c.strategy} {difference(c, margin)}, {c.finding}" for c in cell.to_forward
    )
    shown = ", ".join(levels(cell.to_forward))
    alt = (
        f"Difference to forward, against a margin of {margin:.4g}; {shown or 'no interval'}: "
        f"{summary}."
    )
    title = f"Difference to forward, {settings(verdict)[number - 1]}"
    return Drawing(
        f"equivalence-{number}", title, alt, figure, height, caption=caption(cell, verdict)
    )


def _intervals(
    name: str, style: Mark, rows: Sequence[tuple[int, Comparison]], margin: float
) -> go.Scatter:
    sides = [bounds(c) or (c.effect, c.effect) for _, c in rows]
    return go.Scatter(
        # A trace without points is left out of the legend, which should show all three findings.
        x=[c.effect for _, c in rows] if rows else [None],
        y=[y for y, _ in rows] if rows else [None],
        name=name,
        mode="markers",
        marker={"color": style.colour, "symbol": style.sign, "size": 11,
                "line": {"width": 2, "color": style.colour}},
        error_x={
            "type": "data", "symmetric": False, "color": style.colour, "thickness": 2.5, "width": 5,
            "array": [high - c.effect for (_, c), (_, high) in zip(rows, sides, strict=True)],
            "arrayminus": [c.effect - low for (_, c), (low, _) in zip(rows, sides, strict=True)],
        },
        text=[f"{text(c.strategy)} {difference(c, margin)}, {c.finding}" for _, c in rows],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def caption(cell: Cell, verdict: Verdict) -> str:
    """Describe the bars of the figure: their level, their seeds, and how a finding is read from
    them. Exceptions are named only where there are any."""
    pairs = cell.to_forward
    barred = [c for c in pairs if bounds(c)]
    sentences = [
        f"A mark is a strategy's mean difference to forward over {_seeds(pairs)}; right is better."
    ]
    if barred:
        sentences.append(f"Bars: {', '.join(levels(barred))}.")
    sentences.append(
        f"The shaded band is the margin, {verdict.margin:.4g}{unit(verdict)} to either side."
    )
    if barred:
        sentences.append(
            "A strategy is equivalent if its bar lies inside the band, different if its bar lies "
            "wholly outside, and undecided otherwise."
        )
    if filled := [c for c in barred if c.missing]:
        sentences.append(
            f"Runs are missing: the bar of {_names(filled)} also covers what those runs could "
            "have scored."
        )
    if bare := [c for c in pairs if not bounds(c)]:
        sentences.append(
            f"{_names(bare)} without a bar: one seed shows no variance, so wherever the mark lies, "
            "it is undecided."
        )
    return " ".join(sentences)


def _seeds(pairs: Iterable[Comparison]) -> str:
    counts = sorted({c.n for c in pairs})
    if counts == [1]:
        return "the one seed that both have"
    count = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"the {count} seeds that both have"


def _names(pairs: Sequence[Comparison]) -> str:
    return ", ".join(c.strategy for c in pairs)
