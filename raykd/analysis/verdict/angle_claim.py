"""H6: seen from the students, the teacher's blocks lie at acute angles, and more often than chance
and distance alone would have it.

Three claims, and H6 is supported where all are, contradicted where one is:
- acute: for every strategy, student block and pair of teacher blocks, most tokens see the pair at
  an acute angle. Random directions would do so for a half of the tokens.
- more often than to the teacher's states of other tokens, were the student as near to them.
- more often than from an untrained student that is as near to the teacher's states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from raykd.analysis.scores.scores import CellName
from raykd.analysis.verdict.angles import Angles, StudentAngles, points, predict, summary
from raykd.analysis.verdict.verdict import Cell, Hypothesis, Status, Verdict
from raykd.training.angle_values import NULLS, View, wilson

HALF = 0.5  # the share acute of random directions
UNMEASURED = (
    "H6 is left out, as no angles were measured: `raykd angles SWEEP` looks at stored students, "
    "and `angles: true` in the sweep file at all of them, in training"
)
NULL_NAMES = {
    "shuffled": "to the teacher's states of other tokens, as near",
    "untrained": "from an untrained student, as near",
}


@dataclass(frozen=True)
class _ClaimResult:
    """One claim's answer, and what it rests on."""

    status: Status
    effect: float
    interval: tuple[float, float] | None
    level: float
    margin: float
    n: int
    strategy: str | None
    says: str


def add_angles(verdict: Verdict, students: Sequence[StudentAngles]) -> Verdict:
    """The verdict with H6 in each of its cells, and with what the angles say beside it. Where
    nothing was measured H6 is left out, with a note."""
    measured = [s for cell in verdict.cells for s in of_cell(cell, students)]
    if not measured:
        return replace(verdict, notes=(*verdict.notes, UNMEASURED))
    return replace(
        verdict,
        cells=tuple(
            replace(c, hypotheses=(*c.hypotheses, judge(measured, name(c), verdict.at)))
            for c in verdict.cells
        ),
        angles=of(measured, verdict.at),
    )


def name(cell: Cell) -> CellName:
    return (cell.task, cell.init, cell.shape, cell.weight)


def of_cell(cell: Cell, students: Sequence[StudentAngles]) -> list[StudentAngles]:
    """The students that a cell is about: of its hidden weight where that is a factor, and of the
    weight that each strategy was tuned to where it is the tuned one's."""
    arms = {a.strategy: a for a in cell.arms}
    result = []
    for student in students:
        arm = arms.get(student.strategy)
        if arm is None or (student.task, student.init, student.shape) != name(cell)[:3]:
            continue
        if not cell.weight or student.weight in ("", cell.weight, arm.chosen):
            result.append(
                replace(student, weight=cell.weight, control=student.control or arm.control)
            )
    return result


def of(students: Sequence[StudentAngles], alpha: float) -> Angles:
    return Angles(summary(students), predict(points(students), alpha))


def judge(students: Sequence[StudentAngles], cell: CellName, alpha: float) -> Hypothesis:
    """H6 of one cell, over its matched students."""
    matched = [s for s in students if s.cell == cell and s.matched]
    if not matched:
        says = "no matched student's angles were measured here, so nothing is said"
        return Hypothesis("H6", *cell, "undecided", None, None, None, 0, HALF, None, None, says)
    claims = [_acute(matched, alpha), *(_beyond(matched, null, alpha) for null in NULLS)]
    contradicted = next((f for f in claims if f.status == "contradicted"), None)
    undecided = next((f for f in claims if f.status == "undecided"), None)
    decided = contradicted or undecided or claims[0]
    status: Status = "contradicted" if contradicted else "undecided" if undecided else "supported"
    says = "; ".join(f.says for f in sorted(claims, key=lambda f: f is not decided))
    return Hypothesis(
        "H6", *cell, status, decided.effect, decided.interval, decided.level, decided.n,
        decided.margin, None, decided.strategy, says,
    )  # fmt: skip


def _acute(students: Sequence[StudentAngles], alpha: float) -> _ClaimResult:
    """Supported: every pair's lower bound above a half, each at alpha (all must pass, so nothing
    is corrected). Contradicted: some pair's upper bound below it, Bonferroni."""
    groups: dict[tuple[str, int, int, int], list[View]] = {}
    for s in students:
        for b in s.measured.blocks:
            for p in b.pairs:
                groups.setdefault((s.strategy, b.student, p.first, p.second), []).append(p.raw)
    by_pair = {key: [v for v in views if v.tokens] for key, views in groups.items()}
    by_pair = {key: views for key, views in by_pair.items() if views}
    if not by_pair:
        says = "every student is where the teacher's states are, so no angle is seen"
        return _ClaimResult("undecided", HALF, None, 1 - 2 * alpha, HALF, 0, None, says)
    uncorrected = {key: share_interval(views, alpha) for key, views in by_pair.items()}
    corrected = {key: share_interval(views, alpha / len(by_pair)) for key, views in by_pair.items()}
    low = min(uncorrected, key=lambda k: uncorrected[k][1][0])
    worst = min(corrected, key=lambda k: corrected[k][1][1])
    status: Status = (
        "contradicted" if corrected[worst][1][1] < HALF
        else "supported" if uncorrected[low][1][0] > HALF else "undecided"
    )  # fmt: skip
    key, bounds = (worst, corrected) if status == "contradicted" else (low, uncorrected)
    share, interval = bounds[key]
    level = 1 - 2 * (alpha / len(by_pair) if status == "contradicted" else alpha)
    strategy, student, first, second = key
    n = len(by_pair[key])
    mean = np.mean([v.share_acute for views in by_pair.values() for v in views])
    answer = {
        "supported": "every pair of teacher blocks is seen at an acute angle by most tokens",
        "contradicted": "not every pair of teacher blocks is seen at an acute angle by most tokens",
        "undecided": "whether every pair of teacher blocks is seen at an acute angle is open",
    }[status]
    says = (
        f"{answer} (mean share {mean:.3f}; lowest {share:.3f}, {interval[0]:.3f} to "
        f"{interval[1]:.3f}: {strategy}, student block {student}, teacher blocks {first} and "
        f"{second}; {_seeds(n)})"
    )
    return _ClaimResult(status, share, interval, level, HALF, n, strategy, says)


def share_interval(views: Sequence[View], alpha: float) -> tuple[float, tuple[float, float]]:
    """A pair's mean share acute over seeds, and its two-sided interval of level 1 - 2 alpha.

    The variance of the mean over seeds and that over examples add up: all seeds see the same
    examples. Degrees of freedom by Satterthwaite (1946). With one seed the interval is over
    examples alone, and says nothing of other seeds.
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


def _beyond(students: Sequence[StudentAngles], null: str, alpha: float) -> _ClaimResult:
    """Shares acute against a null's, mean over all blocks and pairs of each student. Over seeds,
    or where there is only one, over its strategies."""
    by_unit: dict[int | str, list[float]] = {}
    seeds = {student.seed for student in students}
    for student in students:
        pairs = [p for b in student.measured.blocks for p in b.pairs if p.raw.tokens]
        if pairs:
            gain = [p.raw.share_acute - getattr(p, null).share_acute for p in pairs]
            unit = student.seed if len(seeds) > 1 else student.strategy
            by_unit.setdefault(unit, []).append(float(np.mean(gain)))
    gains = np.array([np.mean(g) for g in by_unit.values()])
    n, level = len(gains), 1 - 2 * alpha
    counted = "seeds" if len(seeds) > 1 else "strategies of one seed"
    null_name = NULL_NAMES[null]
    if n < 2:
        says = f"one student alone cannot be compared with a null ({null})"
        return _ClaimResult(
            "undecided", float(gains.sum()), None, level, 0.0, len(seeds), None, says
        )
    mean = float(gains.mean())
    half = float(stats.t.ppf(1 - alpha, n - 1) * gains.std(ddof=1) / np.sqrt(n))
    interval = (mean - half, mean + half)
    status: Status = (
        "supported" if interval[0] > 0 else "contradicted" if interval[1] < 0 else "undecided"
    )
    answer = {
        "supported": "angles are acute more often than",
        "contradicted": "angles are acute less often than",
        "undecided": "angles are not shown to be acute more or less often than",
    }[status]
    says = (
        f"{answer} {null_name} ({mean:+z.3f} of the tokens, {interval[0]:+z.3f} to "
        f"{interval[1]:+z.3f}; {n} {counted})"
    )
    return _ClaimResult(status, mean, interval, level, 0.0, len(seeds), None, says)


def _seeds(n: int) -> str:
    return f"{n} seeds" if n > 1 else "one seed, so over examples alone"
