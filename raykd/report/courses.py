"""Learning curves: select scores by step, by strategy."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from raykd.report.plotting import Drawing, Mark, canvas, faded, text


@dataclass(frozen=True)
class Course:
    """The select scores of one confirmed student, by step."""

    init: str
    strategy: str
    seed: int
    scores: tuple[tuple[int, float], ...]


def curves(courses: Sequence[Course], looks: Mapping[str, Mark], score: str) -> tuple[Drawing, ...]:
    """A figure for each init: each strategy's mean over its seeds, each seed as a thin line."""
    inits = dict.fromkeys(c.init for c in courses)
    return tuple(
        _curves(number, init, [c for c in courses if c.init == init], looks, score)
        for number, init in enumerate(inits, 1)
    )


def _curves(
    number: int, init: str, courses: Sequence[Course], looks: Mapping[str, Mark], score: str
) -> Drawing:
    figure = canvas(380, "step", score, showlegend=True)
    ends = []
    for strategy, look in looks.items():
        mine = [c for c in courses if c.strategy == strategy]
        for course in mine:
            figure.add_trace(
                go.Scatter(x=[s for s, _ in course.scores], y=[v for _, v in course.scores],
                           mode="lines", showlegend=False, hoverinfo="skip",
                           line={"color": faded(look.colour, 0.3), "width": 1})
            )  # fmt: skip
        means = mean_course(mine)
        if not means:
            continue
        figure.add_trace(
            go.Scatter(x=[s for s, _ in means], y=[v for _, v in means], name=text(strategy),
                       mode="lines+markers", line={"color": look.colour, "width": 2},
                       marker={"color": look.colour, "symbol": look.sign, "size": 8},
                       hovertemplate="%{y:.2f} at step %{x}")
        )  # fmt: skip
        ends.append(f"{strategy} {means[-1][1]:.2f}")
    alt = f"Mean {score} at the last step, {init}: {', '.join(ends)}."
    return Drawing(f"curves-{number}", f"Learning curves, {init}", alt, figure, 380)


def mean_course(courses: Sequence[Course]) -> tuple[tuple[int, float], ...]:
    """The mean over seeds at the steps that every one of them has."""
    by_step: dict[int, list[float]] = {}
    for course in courses:
        for step, score in course.scores:
            by_step.setdefault(step, []).append(score)
    return tuple(
        (step, statistics.fmean(scores))
        for step, scores in sorted(by_step.items())
        if len(scores) == len(courses)
    )
