"""Missing runs (failed, diverged or not finished) and worst-case scores for them.

Runs are rarely missing at random: bad runs diverge, so the remaining ones overestimate their
strategy. A claim must therefore also hold in the worst case, with each missing run at the worst or
the best score seen, whichever is worse for the claim. A contradiction must also hold with each
missing run at the worst score seen, since a failed run is not a good one.
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
    """The expected seeds of each arm of a cell, and the worst and the best score seen, signed so
    that larger is better."""

    seeds: Mapping[str, frozenset[int]]
    worst: float
    best: float
    bounds: Mapping[tuple[str, int], tuple[float, float]] = field(default_factory=dict)
    """Tighter (worst, best) bounds of a missing run, such as a mean of which only a part is
    missing."""

    def range(self, arm: str, seed: int) -> tuple[float, float]:
        """Return (worst, best) of a missing run."""
        return self.bounds.get((arm, seed), (self.worst, self.best))


def expected(
    scores: Scores, cell: CellName, arms: ByArm, among: Collection[str], sign: int
) -> Expected:
    """Return the expected seeds of a cell. An arm should have every seed that any arm of the cell
    has or was planned to have. A control may have fewer by plan: it should have its own and those
    that the loader reports as lost. `among`: arms whose scores are the worst and the best seen."""
    lost_seeds_by_arm: dict[str, set[int]] = {}
    for p in scores.problems:
        if p.cell == cell and p.strategy is not None:
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
    """Return the seeds under which an arm's run failed, as reported by the loader."""
    return frozenset(
        seed
        for p in scores.problems
        if p.cell == cell and p.strategy == arm and p.kind == "failed"
        for seed in p.seeds
    )


def filled(scores: Array, high: Array, worst_seen: float = np.inf) -> Array:
    """Return the scores with missing ones (NaN) filled in: at the best score seen if `high` is true
    for the arm, else at the worst.

    scores: [..., seeds, arms], larger is better. high: [arms] of bool. worst_seen: a lower score
    that is not in `scores`, such as that of a failed run."""
    scores = np.asarray(scores, dtype=float)
    worst = np.minimum(np.nanmin(scores, axis=(-2, -1), keepdims=True), worst_seen)
    best = np.nanmax(scores, axis=(-2, -1), keepdims=True)
    return np.where(np.isnan(scores), np.where(high, best, worst), scores)


def matrix(arms: ByArm, expected_runs: Expected, sign: int) -> Array:
    """Return the scores [seeds, arms], larger is better, NaN for missing runs."""
    seeds = sorted(frozenset().union(*(expected_runs.seeds[a] for a in arms)))
    rows = [[sign * arm[s].score if s in arm else np.nan for arm in arms.values()] for s in seeds]
    return np.array(rows).reshape(len(seeds), len(arms))
