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
from raykd.analysis.verdict.angles import Angles, Seen, points, predict, summary
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
class _Found:
    """One claim's answer, and what it rests on."""

    status: Status
    effect: float
    interval: tuple[float, float] | None
    level: float
    margin: float
    n: int
    strategy: str | None
    says: str


def add_angles(verdict: Verdict, seen: Sequence[Seen]) -> Verdict:
    """The verdict with H6 in each of its cells, and with what the angles say beside it. Where
    nothing was measured H6 is left out, with a note."""
    known = [s for cell in verdict.cells for s in of_cell(cell, seen)]
    if not known:
        return replace(verdict, notes=(*verdict.notes, UNMEASURED))
    return replace(
        verdict,
        cells=tuple(
            replace(c, hypotheses=(*c.hypotheses, judge(known, name(c), verdict.at)))
            for c in verdict.cells
        ),
        angles=of(known, verdict.at),
    )


def name(cell: Cell) -> CellName:
    return (cell.task, cell.init, cell.shape, cell.weight)


def of_cell(cell: Cell, seen: Sequence[Seen]) -> list[Seen]:
    """The students that a cell is about: of its hidden weight where that is a factor, and of the
    weight that each strategy was tuned to where it is the tuned one's."""
    arms = {a.strategy: a for a in cell.arms}
    found = []
    for s in seen:
        arm = arms.get(s.strategy)
        if arm is None or (s.task, s.init, s.shape) != name(cell)[:3]:
            continue
        if not cell.weight or s.weight in ("", cell.weight, arm.chosen):
            found.append(replace(s, weight=cell.weight, control=s.control or arm.control))
    return found


def of(seen: Sequence[Seen], alpha: float) -> Angles:
    return Angles(summary(seen), predict(points(seen), alpha))


def judge(seen: Sequence[Seen], cell: CellName, alpha: float) -> Hypothesis:
    """H6 of one cell, over its matched students."""
    mine = [s for s in seen if s.cell == cell and s.matched]
    if not mine:
        says = "no matched student's angles were measured here, so nothing is said"
        return Hypothesis("H6", *cell, "undecided", None, None, None, 0, HALF, None, None, says)
    found = [_acute(mine, alpha), *(_beyond(mine, null, alpha) for null in NULLS)]
    against = next((f for f in found if f.status == "contradicted"), None)
    open_ = next((f for f in found if f.status == "undecided"), None)
    decided = against or open_ or found[0]
    status: Status = "contradicted" if against else "undecided" if open_ else "supported"
    says = "; ".join(f.says for f in sorted(found, key=lambda f: f is not decided))
    return Hypothesis(
        "H6", *cell, status, decided.effect, decided.interval, decided.level, decided.n,
        decided.margin, None, decided.strategy, says,
    )  # fmt: skip


def _acute(mine: Sequence[Seen], alpha: float) -> _Found:
    """Supported: every pair's lower bound above a half, each at alpha (all must pass, so nothing
    is corrected). Contradicted: some pair's upper bound below it, Bonferroni."""
    groups: dict[tuple[str, int, int, int], list[View]] = {}
    for s in mine:
        for b in s.measured.blocks:
            for p in b.pairs:
                groups.setdefault((s.strategy, b.student, p.first, p.second), []).append(p.raw)
    told = {key: [v for v in views if v.tokens] for key, views in groups.items()}
    told = {key: views for key, views in told.items() if views}
    if not told:
        says = "every student is where the teacher's states are, so no angle is seen"
        return _Found("undecided", HALF, None, 1 - 2 * alpha, HALF, 0, None, says)
    plain = {key: share_interval(views, alpha) for key, views in told.items()}
    strict = {key: share_interval(views, alpha / len(told)) for key, views in told.items()}
    low = min(plain, key=lambda k: plain[k][1][0])
    worst = min(strict, key=lambda k: strict[k][1][1])
    status: Status = (
        "contradicted" if strict[worst][1][1] < HALF
        else "supported" if plain[low][1][0] > HALF else "undecided"
    )  # fmt: skip
    key, bounds = (worst, strict) if status == "contradicted" else (low, plain)
    share, interval = bounds[key]
    level = 1 - 2 * (alpha / len(told) if status == "contradicted" else alpha)
    strategy, student, first, second = key
    n = len(told[key])
    mean = np.mean([v.share_acute for views in told.values() for v in views])
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
    return _Found(status, share, interval, level, HALF, n, strategy, says)


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


def _beyond(mine: Sequence[Seen], null: str, alpha: float) -> _Found:
    """Shares acute against a null's, mean over all blocks and pairs of each student. Over seeds,
    or where there is only one, over its strategies."""
    each: dict[int | str, list[float]] = {}
    seeds = {s.seed for s in mine}
    for s in mine:
        pairs = [p for b in s.measured.blocks for p in b.pairs if p.raw.tokens]
        if pairs:
            gain = [p.raw.share_acute - getattr(p, null).share_acute for p in pairs]
            unit = s.seed if len(seeds) > 1 else s.strategy
            each.setdefault(unit, []).append(float(np.mean(gain)))
    gains = np.array([np.mean(g) for g in each.values()])
    n, level = len(gains), 1 - 2 * alpha
    what = "seeds" if len(seeds) > 1 else "strategies of one seed"
    name = NULL_NAMES[null]
    if n < 2:
        says = f"one student alone cannot be compared with a null ({null})"
        return _Found("undecided", float(gains.sum()), None, level, 0.0, len(seeds), None, says)
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
        f"{answer} {name} ({mean:+z.3f} of the tokens, {interval[0]:+z.3f} to {interval[1]:+z.3f}; "
        f"{n} {what})"
    )
    return _Found(status, mean, interval, level, 0.0, len(seeds), None, says)


def _seeds(n: int) -> str:
    return f"{n} seeds" if n > 1 else "one seed, so over examples alone"
