"""Runs that failed, diverged or were never finished, and what an answer would be at their worst.

Runs are seldom lost by chance: those that diverge are the bad ones, and the survivors look better
than their strategy is. So a claim is held against the worst case too: a missing run is put at the
worst or the best score that was seen, whichever hurts the claim. A contradiction is held against
each missing run at the worst score seen, since a failed run is never a good one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raykd.analysis.scores.scores import CellName, Score, Scores

Array = NDArray[Any]
ByArm = Mapping[str, Mapping[int, Score]]


@dataclass(frozen=True)
class Expected:
    """The seeds that each arm of a cell should have, and the worst and the best score seen, turned
    so that larger is better."""

    seeds: Mapping[str, frozenset[int]]
    worst: float
    best: float
    known: Mapping[tuple[str, int], tuple[float, float]] = field(default_factory=dict)
    """Of a missing run that is known better than that, such as a mean of which only a part is
    missing: the worst and the best that it can be."""

    def range(self, arm: str, seed: int) -> tuple[float, float]:
        """(worst, best) of a missing run."""
        return self.known.get((arm, seed), (self.worst, self.best))


def expected(
    scores: Scores, cell: CellName, arms: ByArm, among: Collection[str], sign: int
) -> Expected:
    """An arm should have every seed that some arm of its cell has or was to have. A control may be
    asked for under fewer: it should have its own, and those that its loader names as lost.
    `among`: the arms whose scores are the worst and the best seen."""
    lost_seeds_by_arm: dict[str, set[int]] = {}
    for p in scores.problems:
        if (p.task, p.init, p.shape, p.weight) == cell and p.strategy is not None:
            lost_seeds_by_arm.setdefault(p.strategy, set()).update(p.seeds)
    controls = {a for a, arm in arms.items() if next(iter(arm.values())).control}
    reported = {
        s for a, lost in lost_seeds_by_arm.items() if a in arms and a not in controls for s in lost
    }
    all_seeds = frozenset(reported.union(*arms.values()))
    seeds = {
        a: frozenset({*arm, *lost_seeds_by_arm.get(a, ())}) if a in controls else all_seeds
        for a, arm in arms.items()
    }
    values = [sign * s.score for a in among for s in arms[a].values()]
    values += [sign * s.score for s in scores.failed if s.cell[:3] == cell[:3] and not s.control]
    return Expected(seeds, min(values, default=0.0), max(values, default=0.0))


def lost_seeds(scores: Scores, cell: CellName, arm: str) -> frozenset[int]:
    """The seeds under which an arm's run failed, as its loader says."""
    return frozenset(
        seed
        for p in scores.problems
        if (p.task, p.init, p.shape, p.weight) == cell and p.strategy == arm and p.kind == "failed"
        for seed in p.seeds
    )


def filled(scores: Array, high: Array, worst_seen: float = np.inf) -> Array:
    """Scores [..., seeds, arms], larger is better, with each missing one (NaN) at the best score
    seen where `high` ([arms] of bool) is true for its arm, and at the worst elsewhere.
    `worst_seen`: a worse one that is not among them, such as that of a run that failed."""
    scores = np.asarray(scores, dtype=float)
    worst = np.minimum(np.nanmin(scores, axis=(-2, -1), keepdims=True), worst_seen)
    best = np.nanmax(scores, axis=(-2, -1), keepdims=True)
    return np.where(np.isnan(scores), np.where(high, best, worst), scores)


def matrix(arms: ByArm, wanted: Expected, sign: int) -> Array:
    """[seeds, arms], larger is better, NaN where an arm lacks a seed that it should have."""
    seeds = sorted(frozenset().union(*(wanted.seeds[a] for a in arms)))
    rows = [[sign * arm[s].score if s in arm else np.nan for arm in arms.values()] for s in seeds]
    return np.array(rows).reshape(len(seeds), len(arms))
