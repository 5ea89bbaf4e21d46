"""H6: seen from the students, the teacher's blocks lie at acute angles, more often than chance and
distance alone explain.

H6 has three claims. It is supported if all of them are, and contradicted if one is:
- For every strategy, student block and pair of teacher blocks, most tokens see the pair at an acute
  angle. With random directions, half of the tokens do.
- Angles are acute more often than to the teacher's states of other tokens at the same distance.
- Angles are acute more often than from an untrained student at the same distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from raykd.analysis.scores.scores import CellName
from raykd.analysis.stats.stages import FIRST
from raykd.analysis.verdict.angles import Angles, StudentAngles, points, predict, summary
from raykd.analysis.verdict.rivals import weight_of
from raykd.analysis.verdict.verdict import Cell, Hypothesis, Status, Verdict
from raykd.training.angle_values import NULLS, View, wilson

HALF = 0.5  # share of acute angles between random directions
UNMEASURED = (
    "H6 is left out, as no angles were measured: `raykd angles SWEEP` measures stored "
    "students, and `angles: true` in the sweep file measures all of them, in training"
)
NULL_NAMES = {
    "shuffled": "to the teacher's states of other tokens, as near",
    "untrained": "from an untrained student, as near",
}


@dataclass(frozen=True)
class _ClaimResult:
    """Result of one claim of H6, with its evidence."""

    status: Status
    effect: float
    interval: tuple[float, float] | None
    level: float
    margin: float
    n: int
    strategy: str | None
    says: str


def add_angles(verdict: Verdict, students: Sequence[StudentAngles]) -> Verdict:
    """Return the verdict with H6 in each cell and with a summary of the angles. If no angles were
    measured, H6 is left out and a note says so."""
    measured = [s for cell in verdict.cells for s in of_cell(cell, students)]
    if not measured:
        return replace(verdict, notes=(*verdict.notes, UNMEASURED))
    judged, alpha = measured, verdict.at
    if (judgement := verdict.judgement) is not None and judgement.combined:  # H6 is not extended
        judged = [s for s in measured if s.seed in judgement.seeds[0]]
        alpha = FIRST * verdict.alpha
    return replace(
        verdict,
        cells=tuple(
            replace(c, hypotheses=(*c.hypotheses, judge(judged, name(c), alpha)))
            for c in verdict.cells
        ),
        angles=of(measured, verdict.at),
    )


def name(cell: Cell) -> CellName:
    return (cell.task, cell.init, cell.shape, cell.weight)


def of_cell(cell: Cell, students: Sequence[StudentAngles]) -> list[StudentAngles]:
    """Return the students of a cell. If the hidden weight is a factor, they have the cell's weight;
    in the tuned cell, the weight that was chosen for their seed."""
    arms = {a.strategy: a for a in cell.arms}
    result = []
    for student in students:
        arm = arms.get(student.strategy)
        if arm is None or (student.task, student.init, student.shape) != name(cell)[:3]:
            continue
        if not cell.weight or student.weight in ("", cell.weight, weight_of(arm, student.seed)):
            result.append(
                replace(student, weight=cell.weight, control=student.control or arm.control)
            )
    return result


def of(students: Sequence[StudentAngles], alpha: float) -> Angles:
    return Angles(summary(students), predict(points(students), alpha))


def judge(students: Sequence[StudentAngles], cell: CellName, alpha: float) -> Hypothesis:
    """Return H6 of one cell, over its matched students."""
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
    """Judge the first claim. Supported: the lower bound of every pair is above 0.5, each at alpha
    (all must pass, so no correction is needed). Contradicted: the upper bound of some pair is
    below 0.5, with Bonferroni correction."""
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


def _beyond(students: Sequence[StudentAngles], null: str, alpha: float) -> _ClaimResult:
    """Compare the shares of acute angles with those of a null, as a mean over all blocks and pairs
    of each student. The test is over seeds, or over strategies if there is one seed."""
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
