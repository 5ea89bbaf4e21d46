"""Figures of the select score during training: a line per strategy."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from raykd.analysis.digits import Digits
from raykd.report.plotting import Drawing, Mark, canvas, faded, text


@dataclass(frozen=True)
class Course:
    """Select scores of one confirmed student, by step."""

    init: str
    strategy: str
    seed: int
    scores: tuple[tuple[int, float], ...]


def curves(
    courses: Sequence[Course],
    styles: Mapping[str, Mark],
    score: str,
    margin: float,
    controls: Collection[str] = (),
) -> tuple[Drawing, ...]:
    """Draw a figure for each init, and one for its controls: the mean of each strategy over its
    seeds, a band from the lowest to the highest seed, and each seed as a thin line that is hidden
    at first."""
    drawings = []
    for number, init in enumerate(dict.fromkeys(c.init for c in courses), 1):
        of_init = [c for c in courses if c.init == init]
        for name, title, aside in (
            (f"curves-{number}", f"Learning curves, {init}", False),
            (f"curves-controls-{number}", f"Learning curves of controls, {init}", True),
        ):
            shown = [c for c in of_init if (c.strategy in controls) == aside]
            if shown:
                drawings.append(_curves(name, title, shown, styles, score, margin))
    return tuple(drawings)


def _curves(
    name: str,
    title: str,
    courses: Sequence[Course],
    styles: Mapping[str, Mark],
    score: str,
    margin: float,
) -> Drawing:
    figure = canvas(380, "step", score, showlegend=True)
    digits = Digits.of(margin, *(value for c in courses for _, value in c.scores))
    ends = []
    for strategy, style in styles.items():
        of_strategy = [c for c in courses if c.strategy == strategy]
        figure.add_traces([_single(course, style, digits) for course in of_strategy])
        steps = steps_of_all(of_strategy)
        if not steps:
            continue
        if len(of_strategy) > 1:
            figure.add_trace(_band(steps, strategy, style))
        means = mean_course(of_strategy)
        figure.add_trace(
            go.Scatter(x=[s for s, _ in means], y=[v for _, v in means], name=text(strategy),
                       mode="lines+markers", legendgroup=strategy,
                       line={"color": style.colour, "width": 2, "dash": style.dash},
                       marker={"color": style.colour, "symbol": style.sign, "size": 8},
                       hovertemplate=f"%{{y:{digits.code}}} at step %{{x}}")
        )  # fmt: skip
        ends.append(f"{strategy} {digits.plain(means[-1][1])}")
    alt = f"Mean {score} at the last step: {', '.join(ends)}."
    return Drawing(name, title, alt, figure, 380, singles=True)


def _single(course: Course, style: Mark, digits: Digits) -> go.Scatter:
    """Return the line of one run. The page's switch shows the traces whose `meta` is `single`."""
    return go.Scatter(
        x=[s for s, _ in course.scores], y=[v for _, v in course.scores],
        mode="lines", showlegend=False, visible=False, meta="single",
        line={"color": faded(style.colour, 0.6), "width": 1, "dash": style.dash},
        hovertemplate=f"{text(course.strategy)}, seed {course.seed}: %{{y:{digits.code}}}"
        "<extra></extra>",
    )  # fmt: skip


def _band(steps: Mapping[int, Sequence[float]], strategy: str, style: Mark) -> go.Scatter:
    there, low, high = [*steps], [*map(min, steps.values())], [*map(max, steps.values())]
    return go.Scatter(
        x=[*there, *there[::-1]], y=[*low, *high[::-1]], fill="toself", mode="lines",
        fillcolor=faded(style.colour, 0.12), line={"width": 0}, legendgroup=strategy,
        showlegend=False, hoverinfo="skip", meta="band",
    )  # fmt: skip


def steps_of_all(courses: Sequence[Course]) -> dict[int, list[float]]:
    """Return the scores over seeds at the steps that all seeds have."""
    by_step: dict[int, list[float]] = {}
    for course in courses:
        for step, score in course.scores:
            by_step.setdefault(step, []).append(score)
    return {s: scores for s, scores in sorted(by_step.items()) if len(scores) == len(courses)}


def mean_course(courses: Sequence[Course]) -> tuple[tuple[int, float], ...]:
    """Return the mean over seeds at the steps that all seeds have."""
    return tuple((step, statistics.fmean(s)) for step, s in steps_of_all(courses).items())
