"""Figures of the select score during training: a line per strategy."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from raykd.report.plotting import Drawing, Mark, canvas, faded, text


@dataclass(frozen=True)
class Course:
    """Select scores of one confirmed student, by step."""

    init: str
    strategy: str
    seed: int
    scores: tuple[tuple[int, float], ...]


def curves(
    courses: Sequence[Course], styles: Mapping[str, Mark], score: str
) -> tuple[Drawing, ...]:
    """Draw a figure for each init: the mean of each strategy over its seeds, and each seed as a
    thin line."""
    inits = dict.fromkeys(c.init for c in courses)
    return tuple(
        _curves(number, init, [c for c in courses if c.init == init], styles, score)
        for number, init in enumerate(inits, 1)
    )


def _curves(
    number: int, init: str, courses: Sequence[Course], styles: Mapping[str, Mark], score: str
) -> Drawing:
    figure = canvas(380, "step", score, showlegend=True)
    ends = []
    for strategy, style in styles.items():
        of_strategy = [c for c in courses if c.strategy == strategy]
        for course in of_strategy:
            figure.add_trace(
                go.Scatter(x=[s for s, _ in course.scores], y=[v for _, v in course.scores],
                           mode="lines", showlegend=False, hoverinfo="skip",
                           line={"color": faded(style.colour, 0.3), "width": 1})
            )  # fmt: skip
        means = mean_course(of_strategy)
        if not means:
            continue
        figure.add_trace(
            go.Scatter(x=[s for s, _ in means], y=[v for _, v in means], name=text(strategy),
                       mode="lines+markers", line={"color": style.colour, "width": 2},
                       marker={"color": style.colour, "symbol": style.sign, "size": 8},
                       hovertemplate="%{y:.2f} at step %{x}")
        )  # fmt: skip
        ends.append(f"{strategy} {means[-1][1]:.2f}")
    alt = f"Mean {score} at the last step, {init}: {', '.join(ends)}."
    return Drawing(f"curves-{number}", f"Learning curves, {init}", alt, figure, 380)


def mean_course(courses: Sequence[Course]) -> tuple[tuple[int, float], ...]:
    """Return the mean over seeds at the steps that all seeds have."""
    by_step: dict[int, list[float]] = {}
    for course in courses:
        for step, score in course.scores:
            by_step.setdefault(step, []).append(score)
    return tuple(
        (step, statistics.fmean(scores))
        for step, scores in sorted(by_step.items())
        if len(scores) == len(courses)
    )
