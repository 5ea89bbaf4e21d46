"""Figures of every seed as a dot, and words for settings, differences and intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from scipy import stats

from raykd.analysis.digits import Digits
from raykd.analysis.scores.loss_weights import TUNED
from raykd.analysis.scores.scores import FORWARD
from raykd.analysis.verdict.verdict import Arm, Cell, Comparison, Verdict
from raykd.report.page import Page, Runs
from raykd.report.plotting import (  # fmt: skip
    BAND,
    GREY,
    INK,
    Drawing,
    Mark,
    canvas,
    rows_height,
    text,
)


def settings(verdict: Verdict) -> tuple[str, ...]:
    """Return a name for each cell from the factors in which cells differ."""
    parts = [
        (short(c.task), c.init, f"{c.shape} blocks",
         "best weights" if c.weight == TUNED else f"hidden weight {c.weight}",
         f"schedule {c.schedule}")
        for c in verdict.cells
    ]  # fmt: skip
    differing = [i for i in range(5) if len({p[i] for p in parts}) > 1] or [1]
    return tuple(", ".join(part[i] for i in differing) for part in parts)


def short(task: str) -> str:
    """Return the last part of a task's path or hub name."""
    return task.rstrip("/").rsplit("/", 1)[-1]


def seeds(number: int, page: Page, styles: Mapping[str, Mark]) -> Drawing:
    """Draw every seed of a cell's strategies as a dot, each strategy's mean with its t interval,
    and the margin on both sides of forward's mean."""
    cell, verdict = page.verdict.cells[number - 1], page.verdict
    arms = [a for a in cell.arms if not a.control][::-1]
    figure = _arms(arms, cell, page, styles)
    forward = next((a for a in arms if a.strategy == FORWARD), None)
    if forward is not None:
        low, high = forward.mean - verdict.margin, forward.mean + verdict.margin
        figure.add_vrect(x0=low, x1=high, fillcolor=BAND, line_width=0, layer="below")
        figure.add_vline(x=forward.mean, line={"color": GREY, "width": 1, "dash": "dot"})
    title, alt = settings(verdict)[number - 1], _summary(arms[::-1], page)
    return Drawing(f"seeds-{number}", title, alt, figure, figure.layout.height)


def controls(number: int, page: Page, styles: Mapping[str, Mark]) -> Drawing | None:
    """Draw the seeds of a cell's controls on an axis of their own; None without controls."""
    cell = page.verdict.cells[number - 1]
    arms = [a for a in cell.arms if a.control]
    if not arms:
        return None
    figure = _arms(arms[::-1], cell, page, styles)
    title = f"Controls, {settings(page.verdict)[number - 1]}"
    alt = _summary(arms, page)
    return Drawing(f"controls-{number}", title, alt, figure, figure.layout.height)


def _arms(arms: Sequence[Arm], cell: Cell, page: Page, styles: Mapping[str, Mark]) -> go.Figure:
    verdict = page.verdict
    figure = canvas(rows_height(len(arms), 40), page.score, None)
    measured = [s for a in arms for s in a.scores]
    near = (max(measured) - min(measured)) / 100 if measured else 0.0
    digits = Digits.of(verdict.margin, *measured)
    for row, arm in enumerate(arms):
        ids = [page.runs.of(cell, arm, seed) for seed in arm.seeds]
        figure.add_trace(_dots(row, arm, styles[arm.strategy], near, digits, ids, page.runs))
        if len(arm.scores) > 1:
            figure.add_trace(_mean(row, arm, verdict.at, digits))
    figure.update_yaxes(
        tickvals=list(range(len(arms))), ticktext=[text(named(a)) for a in arms],
        range=[-0.6, len(arms) - 0.4],
    )  # fmt: skip
    return figure


def _summary(arms: Sequence[Arm], page: Page) -> str:
    digits = Digits.of(page.verdict.margin, *(s for a in arms for s in a.scores))
    summary = "; ".join(
        f"{a.strategy} {digits.plain(a.mean)} ({digits.plain(min(a.scores))} to "
        f"{digits.plain(max(a.scores))}, {len(a.scores)} seeds)" for a in arms
    )  # fmt: skip
    return f"Mean, lowest and highest {page.score}: {summary}."


def _dots(
    row: int, arm: Arm, style: Mark, near: float, digits: Digits, ids: Sequence[str], runs: Runs
) -> go.Scatter:
    """Return the dots of an arm. A dot holds the address of its run's page, which a click opens."""
    labels = (f"{text(arm.strategy)}, seed {seed}" for seed in arm.seeds)
    return go.Scatter(
        x=list(arm.scores),
        y=[row + 0.1 + 0.13 * level for level in stacked(arm.scores, near)],
        mode="markers",
        marker={"color": style.colour, "symbol": style.sign, "size": 9, "opacity": 0.75},
        text=[f"{label} (run {run[:8]})" if run else label
              for label, run in zip(labels, ids, strict=True)],
        customdata=[runs.page(run) for run in ids],
        hovertemplate=f"%{{text}}: %{{x:{digits.code}}}<extra></extra>",
    )  # fmt: skip


def _mean(row: int, arm: Arm, alpha: float, digits: Digits) -> go.Scatter:
    upright = {"symbol": "line-ns", "size": 14, "color": INK, "line": {"width": 2.5, "color": INK}}
    half = {"array": [half_width(arm, alpha)], "color": INK, "thickness": 1.5, "width": 4}
    return go.Scatter(
        x=[arm.mean],
        y=[row - 0.2],
        mode="markers",
        marker=upright,
        error_x=half,
        hovertemplate=f"{text(arm.strategy)}, mean: %{{x:{digits.code}}}<extra></extra>",
    )


def stacked(scores: Sequence[float], near: float) -> tuple[int, ...]:
    """Return the level of each dot so that dots do not overlap: 0 for the first within `near`, 1
    for the next, up to 3."""
    levels: list[int] = []
    for i, score in enumerate(scores):
        occupied = {levels[j] for j in range(i) if abs(scores[j] - score) <= near}
        levels.append(next((level for level in range(3) if level not in occupied), 3))
    return tuple(levels)


def named(arm: Arm) -> str:
    return f"{arm.strategy} (control)" if arm.control else arm.strategy


def half_width(arm: Arm, alpha: float) -> float:
    """Return half the width of the 1 - alpha t interval of an arm's mean; 0 without variance."""
    n = len(arm.scores)
    if arm.sd is None or n < 2:
        return 0.0
    return float(stats.t.ppf(1 - alpha / 2, n - 1)) * arm.sd / math.sqrt(n)


def bounds(comparison: Comparison) -> tuple[float, float] | tuple[()]:
    """Return the interval if it is finite, else an empty tuple."""
    interval = comparison.interval
    return interval if interval and all(map(math.isfinite, interval)) else ()


def difference(comparison: Comparison, margin: float) -> str:
    effect, interval = gap(comparison.effect, comparison.interval, margin)
    return f"{effect} ({interval})" if comparison.interval else effect


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def gap(
    effect: float | None, interval: tuple[float, float] | None, margin: float
) -> tuple[str, str]:
    """Return a difference and its interval as text with the same digits; a dash if missing."""
    digits = Digits.of(margin, effect, *(interval or ()))
    return "-" if effect is None else digits.signed(effect), spread(interval, digits)


def spread(interval: tuple[float, float] | None, digits: Digits | None = None) -> str:
    """Return an interval in words, also if a side is infinite; a dash if it is missing."""
    if interval is None:
        return "-"
    low, high = interval
    signed = (digits or Digits.of(0.0, low, high)).signed
    if math.isinf(low) and math.isinf(high):
        return "unbounded"
    if math.isinf(low):
        return f"up to {signed(high)}"
    if math.isinf(high):
        return f"{signed(low)} or more"
    return f"{signed(low)} to {signed(high)}"
