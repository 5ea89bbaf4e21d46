"""Sections on what the students imitated, and on the angles between the teacher's blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from raykd.analysis.digits import Digits
from raykd.analysis.summary.acute_angles import of_cell
from raykd.analysis.verdict.angles import Angles, Point, StudentAngles
from raykd.analysis.verdict.verdict import Verdict
from raykd.report.curve_figures import Course, mean_course
from raykd.report.figures import settings, spread
from raykd.report.page import Detail, Entry, Section, Table
from raykd.report.plotting import COLOURS, GREY, INK, Drawing, Mark, canvas, marks, text
from raykd.report.sentences import sentence
from raykd.training.angles.values import BINS, random_histogram

LINES = {
    "raw": ("the students", COLOURS[0], "solid"),
    "centred": ("centred", COLOURS[2], "solid"),
    "shuffled": ("other tokens, as near", COLOURS[1], "dash"),
    "untrained": ("untrained, as near", COLOURS[3], "dot"),
}
R2 = Digits(2)
WORDS = (
    "With a student's state as the corner, the angle between two teacher blocks, token by token. "
    "Where it is acute, a step towards one block is a step towards the other: the paper's own "
    "explanation. Far from both blocks it is always acute, so these shares decide nothing. Beside "
    "them is what distance alone makes: the student as near to the teacher's states of other "
    "tokens, and an untrained student as near to its own."
)


def imitation(verdict: Verdict) -> Section | None:
    levels = {100 * cell.imitation.level for cell in verdict.cells if cell.imitation}
    if not levels:
        return None
    return Section(
        "imitation",
        "What the students imitated",
        words=(
            "R² is one minus the student's hidden loss over that of the best constant, on tokens "
            "of the select split: 1 for a copy of the teacher's state, 0 for its mean state. The "
            "lookup knows the token id and not the context. Intervals are over seeds, at "
            f"{max(levels):g} percent. Agreement of gradients is that of the pull to a student "
            "block's own target with the pull to another teacher block: 0 for an unrelated target, "
            "1 for the own one.",
        ),
        tables=tuple(t for t in (gain_table(verdict), transfer_table(verdict)) if t.rows),
        details=tuple(
            Detail(f"{title} as a table", table=table)
            for title, table in (
                ("Every matched pair", imitation_table(verdict)),
                ("The gradients of every pair", agreement_table(verdict)),
            )
            if table.rows
        ),
    )


def imitation_table(verdict: Verdict) -> Table:
    """Return R² of every matched pair, beside the lookup and the pair in unmatched students."""
    rows = tuple(
        (pair.strategy, place, f"{pair.student} to {pair.teacher}", _r2(pair.r2),
         spread(pair.interval, R2), _r2(pair.lookup), _r2(pair.unmatched), str(pair.seeds))
        for place, cell in zip(settings(verdict), verdict.cells, strict=True)
        for pair in (cell.imitation.pairs if cell.imitation else ())
    )  # fmt: skip
    heads = ("strategy", "setting", "student block to teacher block", "R²", "interval", "lookup",
             "unmatched", "seeds")  # fmt: skip
    return Table("Every matched pair", heads, rows, sortable=True)


def gain_table(verdict: Verdict) -> Table:
    """Return what matching a teacher block adds to R² on it."""
    rows = tuple(
        (gain.teacher, place, R2.signed(gain.gain), spread(gain.interval, R2), str(gain.seeds))
        for place, cell in zip(settings(verdict), verdict.cells, strict=True)
        for gain in (cell.imitation.gains if cell.imitation else ())
    )
    heads = ("teacher block", "setting", "R² gained", "interval", "seeds")
    return Table("Students matched to a teacher block, minus those matched elsewhere", heads, rows)


def agreement_table(verdict: Verdict) -> Table:
    """Return the cosines of the gradients towards the own target and other teacher blocks."""
    rows = tuple(
        (a.strategy, place, a.student or "any", a.teacher, _r2(a.cosine), _r2(a.null),
         _r2(a.agreement), spread(a.interval, R2), str(a.seeds))
        for place, cell in zip(settings(verdict), verdict.cells, strict=True)
        for a in (cell.mechanism.agreements if cell.mechanism else ())
    )  # fmt: skip
    heads = ("strategy", "setting", "student block", "other teacher block", "cosine",
             "unrelated target", "agreement", "interval", "seeds")  # fmt: skip
    return Table("Gradients through training", heads, rows, sortable=True)


def transfer_table(verdict: Verdict) -> Table:
    """Return the R² that student blocks gain over no matching, where matched and elsewhere."""
    rows = tuple(
        (t.student, t.teacher, place, R2.signed(t.matched), R2.signed(t.elsewhere), str(t.seeds))
        for place, cell in zip(settings(verdict), verdict.cells, strict=True)
        for t in (cell.mechanism.transfers if cell.mechanism else ())
    )
    heads = ("student block", "teacher block", "setting", "matched to it", "matched elsewhere",
             "seeds")  # fmt: skip
    return Table("R² gained over no matching", heads, rows)


def _r2(value: float | None) -> Entry:
    return Entry("-" if value is None else R2.plain(value), value)


def angles(
    verdict: Verdict, students: Sequence[StudentAngles], courses: Sequence[Course]
) -> Section | None:
    """Return the section on angles, or None if no angles were measured. `courses`: mean share of
    acute angles by step, of students measured in training."""
    found = verdict.angles
    if found is None:
        return None
    styles = marks(a.strategy for cell in verdict.cells for a in cell.arms)
    drawings = [
        _cosines(number, name, matched)
        for number, (name, cell) in enumerate(zip(settings(verdict), verdict.cells, strict=True), 1)
        if (matched := [s for s in of_cell(cell, students) if s.matched])
    ]
    drawings += [
        _course(number, init, [c for c in courses if c.init == init], styles)
        for number, init in enumerate(dict.fromkeys(c.init for c in courses), 1)
    ]
    if found.prediction.points:
        drawings.append(_points(found.prediction.points, found.prediction.says))
    return Section(
        "angles",
        "Angles between teacher blocks",
        words=(WORDS,),
        points=(
            *(sentence(share.says, capital=False) for share in found.shares),
            sentence(found.prediction.says),
        ),
        drawings=tuple(drawings),
        details=(Detail("Every student block as a table", table=_table(found)),),
    )


def _cosines(number: int, name: str, students: Sequence[StudentAngles]) -> Drawing:
    """Draw the distribution of the cosines over the matched students, blocks and pairs of a
    setting."""
    figure = canvas(320, "cosine of the angle", "share of tokens", showlegend=True)
    middles = (np.arange(BINS) + 0.5) * 2 / BINS - 1
    acute_shares = []
    for view, (label, colour, dash) in LINES.items():
        counts = np.sum([b.histograms[view] for s in students for b in s.measured.blocks], axis=0)
        acute = np.mean([b.share_acute(view) for s in students for b in s.measured.blocks])
        _line(figure, middles, counts, label, colour, dash)
        acute_shares.append(f"{label} {100 * acute:.0f} percent")
    chance = random_histogram(students[0].measured.width, 1.0)
    _line(figure, middles, chance, "random directions", GREY, "longdash")
    figure.add_vline(x=0, line={"color": INK, "width": 1})
    alt = (
        f"Acute (right of 0), mean over blocks and pairs: {', '.join(acute_shares)}; random 50 "
        "percent."
    )
    return Drawing(f"angles-{number}", f"Cosines, {name}", alt, figure, 320)


def _line(
    figure: go.Figure, x: np.ndarray, counts: np.ndarray, label: str, colour: str, dash: str
) -> None:
    shares = counts / max(float(counts.sum()), 1e-12)
    figure.add_trace(
        go.Scatter(x=x.tolist(), y=shares.tolist(), mode="lines", name=label,
                   line={"color": colour, "width": 2, "dash": dash},
                   hovertemplate="%{y:.3f} near %{x:.2f}")
    )  # fmt: skip


def _course(
    number: int, init: str, courses: Sequence[Course], styles: Mapping[str, Mark]
) -> Drawing:
    """Draw the share of acute angles during training, by strategy."""
    figure = canvas(320, "step", "share acute", showlegend=True)
    ends = []
    for strategy in dict.fromkeys(c.strategy for c in courses):
        means = mean_course([c for c in courses if c.strategy == strategy])
        if not means:
            continue
        style = styles[strategy]
        figure.add_trace(
            go.Scatter(x=[s for s, _ in means], y=[v for _, v in means], name=text(strategy),
                       mode="lines+markers",
                       line={"color": style.colour, "width": 2, "dash": style.dash},
                       marker={"color": style.colour, "symbol": style.sign, "size": 8},
                       hovertemplate="%{y:.3f} at step %{x}")
        )  # fmt: skip
        ends.append(f"{strategy} {means[0][1]:.3f} to {means[-1][1]:.3f}")
    alt = f"Share of acute angles from the first evaluation to the last, {init}: {', '.join(ends)}."
    return Drawing(f"angles-course-{number}", f"Through training, {init}", alt, figure, 320)


def _points(points: Sequence[Point], says: str) -> Drawing:
    """Draw each pair of strategies: the angle between their teacher blocks and the score gap."""
    figure = canvas(320, "mean angle between the blocks they name (degrees)", "gap of their scores",
                    showlegend=True)  # fmt: skip
    inits = dict.fromkeys(p.init for p in points)
    for init, style in marks(inits).items():
        of_init = [p for p in points if p.init == init]
        figure.add_trace(
            go.Scatter(x=[p.angle for p in of_init], y=[p.gap for p in of_init], name=text(init),
                       mode="markers", text=[text(f"{p.first}, {p.second}") for p in of_init],
                       marker={"color": style.colour, "symbol": style.sign, "size": 9},
                       hovertemplate="%{text}<br>%{y:.2f} at %{x:.0f} degrees<extra></extra>")
        )  # fmt: skip
    alt = f"{sentence(says)} A point is two strategies of one setting."
    return Drawing("angles-gaps", "Angles and gaps", alt, figure, 320)


def _table(measured: Angles) -> Table:
    heads = (
        "strategy", "init", "student block", "acute", "lowest pair", "mean cosine", "centred",
        "gradients agree", "other tokens, as near", "untrained, as near", "ratio of Thales",
        "above 2", "seeds",
    )  # fmt: skip
    rows = tuple(
        (
            f"{b.strategy} (control)" if b.control else b.strategy,
            b.init + (f", hidden weight {b.weight}" if b.weight else "")
            + (f", schedule {b.schedule}" if b.schedule else ""), str(b.student),
            f"{b.raw:.3f}", f"{b.lowest:.3f} (blocks {b.first} and {b.second})",
            f"{b.cosine:+z.2f}",
            f"{b.centred:.3f}", f"{b.gradient:.3f}", f"{b.shuffled:.3f}", f"{b.untrained:.3f}",
            f"{b.ratio:.2f}", f"{b.far:.2f}", str(b.seeds),
        )
        for b in measured.blocks
    )  # fmt: skip
    return Table("Shares of tokens that see an acute angle", heads, rows)
