"""The paper's own figure: how often the students see two teacher blocks at an acute angle.

It decides no hypothesis. Three points that have nothing to do with each other see each other at 60
degrees, so nearly all angles are acute wherever the student is far from both blocks. H6 is asked of
gradients and distances (mechanism.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from raykd.analysis.scores.scores import CellName
from raykd.analysis.verdict.angles import (
    AcuteShare,
    Angles,
    StudentAngles,
    points,
    predict,
    summary,
)
from raykd.analysis.verdict.verdict import Cell, Verdict
from raykd.training.angles.values import View, wilson


def add_angles(verdict: Verdict, students: Sequence[StudentAngles]) -> Verdict:
    """Return the verdict with a summary of the angles, if any were measured."""
    measured = [s for cell in verdict.cells for s in of_cell(cell, students)]
    return replace(verdict, angles=of(measured, verdict.at)) if measured else verdict


def of_cell(cell: Cell, students: Sequence[StudentAngles]) -> list[StudentAngles]:
    """Return the students of a cell. If the hidden weight is a factor, they have the cell's weight;
    in the tuned cell, the weight that their strategy was tuned to."""
    arms = {a.strategy: a for a in cell.arms}
    result = []
    for student in students:
        arm = arms.get(student.strategy)
        place = (student.task, student.init, student.shape, student.schedule)
        if arm is None or place != (*cell.name[:3], cell.schedule):
            continue
        if not cell.weight or student.weight in ("", cell.weight, arm.chosen):
            result.append(
                replace(student, weight=cell.weight, control=student.control or arm.control)
            )
    return result


def of(students: Sequence[StudentAngles], alpha: float) -> Angles:
    cells = dict.fromkeys(s.cell for s in students if s.matched)
    shares = (_share([s for s in students if s.cell == c and s.matched], c, alpha) for c in cells)
    return Angles(
        tuple(s for s in shares if s is not None), summary(students),
        predict(points(students), alpha),
    )  # fmt: skip


def _share(students: Sequence[StudentAngles], cell: CellName, alpha: float) -> AcuteShare | None:
    """Return the share over the matched students of a cell, and that of the lowest pair; None if
    every student is where the teacher's states are, so that no angle is seen."""
    by_pair: dict[tuple[str, int, int, int], list[View]] = {}
    for s in students:
        for b in s.measured.blocks:
            for p in b.pairs:
                if p.raw.tokens:
                    key = (s.strategy, b.student, p.first, p.second)
                    by_pair.setdefault(key, []).append(p.raw)
    if not by_pair:
        return None
    bounds = {key: share_interval(views, alpha) for key, views in by_pair.items()}
    key = min(bounds, key=lambda k: bounds[k][0])
    lowest, interval = bounds[key]
    strategy, student, first, second = key
    n = len(by_pair[key])
    mean = float(np.mean([v.share_acute for views in by_pair.values() for v in views]))
    says = (
        f"{100 * mean:.1f} % of tokens see two teacher blocks at an acute angle (the paper's own "
        f"figure, a mean over pairs; lowest {100 * lowest:.1f} %, {100 * interval[0]:.1f} to "
        f"{100 * interval[1]:.1f}: {strategy}, student block {student}, teacher blocks {first} and "
        f"{second}; {_seeds(n)}); unrelated points far from the student are seen so too"
    )
    return AcuteShare(
        *cell, mean, lowest, interval, 1 - 2 * alpha, strategy, student, first, second, n, says
    )


def share_interval(views: Sequence[View], alpha: float) -> tuple[float, tuple[float, float]]:
    """Return a pair's mean share of acute angles over seeds, and its 1 - 2 alpha interval.

    The variances of the mean over seeds and over examples add up, since all seeds see the same
    examples. Degrees of freedom follow Satterthwaite (1946). With one seed the interval covers
    examples only, not other seeds.
    """
    shares = np.array([v.share_acute for v in views])
    share, n = float(shares.mean()), len(views)
    effective = float(np.mean([v.effective for v in views]))
    freedom = max(1.0, effective - 1)
    within = share * (1 - share) / effective
    between = float(shares.var(ddof=1)) / n if n > 1 else 0.0
    if between > 0 and within > 0:
        total = within + between
        effective = share * (1 - share) / total
        freedom = total**2 / (within**2 / freedom + between**2 / (n - 1))
    return share, wilson(share, effective, float(stats.t.ppf(1 - alpha, freedom)))


def _seeds(n: int) -> str:
    return f"{n} seeds" if n > 1 else "one seed, so over examples alone"
