"""Angles over the students of a sweep, and whether they predict how much maps differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from scipy import stats

from raykd.analysis.scores.scores import NONE, CellName
from raykd.maps.layer_map import LayerMap
from raykd.training.angle_values import Block, Measured

FEWEST = 4  # strategies, below which leaving one out says nothing


@dataclass(frozen=True)
class Seen:
    """A confirmed student's angles at the end of its training, and its test score."""

    task: str
    init: str
    shape: str
    strategy: str
    seed: int
    map: str
    score: float
    measured: Measured
    control: bool = False
    weight: str = ""
    """Of the hidden loss, where that is a factor of the sweep."""

    @property
    def cell(self) -> CellName:
        return (self.task, self.init, self.shape, self.weight)

    @property
    def matched(self) -> bool:
        """Whether it was pulled towards teacher blocks at all, and is no control."""
        return self.strategy != NONE and not self.control


@dataclass(frozen=True)
class BlockAngles:
    """Seen from one student block of one strategy: means over its seeds and all pairs of teacher
    blocks. Shares are of tokens with an acute angle: `raw`, `centred`, of the gradients (they
    agree), under the nulls. `ratio` is the Thales ratio's median, `far` the share above 2.
    `lowest` is the raw share of the pair `first`, `second`, the lowest of all."""

    task: str
    init: str
    shape: str
    weight: str
    strategy: str
    control: bool
    student: int
    seeds: int
    raw: float
    cosine: float
    centred: float
    gradient: float
    shuffled: float
    untrained: float
    ratio: float
    far: float
    lowest: float
    first: int
    second: int


@dataclass(frozen=True)
class Point:
    """Two strategies of a cell: the mean angle (degrees) between the teacher blocks that they name
    for the same student block, seen from their students, and how far apart their scores are."""

    task: str
    init: str
    shape: str
    weight: str
    first: str
    second: str
    angle: float
    gap: float


@dataclass(frozen=True)
class Prediction:
    """Do smaller angles go with smaller gaps? Spearman's `rho` over the points; `strategies` counts
    those of every cell. None where there are too few to say."""

    status: Literal["supported", "contradicted", "undecided"]
    rho: float | None
    interval: tuple[float, float] | None
    level: float
    strategies: int
    points: tuple[Point, ...]
    says: str


@dataclass(frozen=True)
class Angles:
    blocks: tuple[BlockAngles, ...]
    prediction: Prediction


def summary(seen: Iterable[Seen]) -> tuple[BlockAngles, ...]:
    """A row for each cell, strategy and student block."""
    groups: dict[tuple[CellName, str, int], list[tuple[Seen, Block]]] = {}
    for s in seen:
        for block in s.measured.blocks:
            groups.setdefault((s.cell, s.strategy, block.student), []).append((s, block))
    return tuple(_row(cell, name, block, found) for (cell, name, block), found in groups.items())


def _row(
    cell: CellName, strategy: str, student: int, found: Sequence[tuple[Seen, Block]]
) -> BlockAngles:
    blocks = [block for _, block in found]
    shares = np.mean([[p.raw.share_acute for p in b.pairs] for b in blocks], axis=0)
    lowest = blocks[0].pairs[int(np.argmin(shares))]

    def share(view: str) -> float:
        return float(np.mean([b.share_acute(view) for b in blocks]))

    thales = [p.thales for b in blocks for p in b.pairs]
    return BlockAngles(
        *cell,
        strategy=strategy,
        control=found[0][0].control,
        student=student,
        seeds=len(found),
        raw=share("raw"),
        cosine=float(np.mean([b.cosine() for b in blocks])),
        centred=share("centred"),
        gradient=share("gradient"),
        shuffled=share("shuffled"),
        untrained=share("untrained"),
        ratio=float(np.mean([t.median for t in thales])),
        far=float(np.mean([t.above[1] for t in thales])),
        lowest=float(shares.min()),
        first=lowest.first,
        second=lowest.second,
    )


def points(seen: Iterable[Seen]) -> tuple[Point, ...]:
    """Every two matched strategies of a cell, over the seeds that both have."""
    arms: dict[CellName, dict[str, dict[int, Seen]]] = {}
    for s in seen:
        if s.matched:
            arms.setdefault(s.cell, {}).setdefault(s.strategy, {})[s.seed] = s
    found = []
    for cell, own in arms.items():
        for first, second in combinations(sorted(own), 2):
            both = [(own[first][k], own[second][k]) for k in own[first].keys() & own[second].keys()]
            angles = [a for a in (_between(*pair) for pair in both) if a is not None]
            if angles:
                gap = abs(float(np.mean([a.score - b.score for a, b in both])))
                found.append(Point(*cell, first, second, float(np.mean(angles)), gap))
    return tuple(found)


def _between(one: Seen, other: Seen) -> float | None:
    """Degrees, over the student blocks that both maps match with one block each; the angle of a
    mean cosine. None where there is no such block."""
    maps = [[a if a == b else None for a, b in LayerMap.parse(s.map).ranges] for s in (one, other)]
    degrees = []
    for student, named in enumerate(zip(*maps, strict=True), 1):
        if None in named:
            continue
        if named[0] == named[1]:
            degrees.append(0.0)
            continue
        low, high = sorted(n for n in named if n is not None)
        views = [
            p.raw
            for s in (one, other)
            for b in s.measured.blocks
            for p in b.pairs
            if b.student == student and (p.first, p.second) == (low, high) and p.raw.tokens
        ]
        if views:
            cosine = np.mean([v.cosine for v in views])
            degrees.append(float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))))
    return float(np.mean(degrees)) if degrees else None


def predict(found: Sequence[Point], alpha: float) -> Prediction:
    """Supported where the rank correlation is shown to be above 0, contradicted where below.

    Two points that share a strategy depend on each other, so the interval leaves out one strategy
    at a time: the jackknife for dyads (Snijders and Borgatti 1999), on Fisher's z scale, with a t
    quantile of one degree of freedom less than there are strategies.
    """
    nodes = list(dict.fromkeys(n for p in found for n in _ends(p)))
    level = 1 - 2 * alpha
    nothing = Prediction("undecided", None, None, level, len(nodes), tuple(found), "")
    rho = _rho(found)
    left_out = [_rho([p for p in found if n not in _ends(p)]) for n in nodes]
    if rho is None or len(nodes) < FEWEST or None in left_out:
        says = "too few strategies to tell whether smaller angles go with smaller gaps between maps"
        return replace(nothing, rho=rho, says=f"{says} ({len(found)} pairs)")
    z = np.arctanh(np.clip(np.array(left_out, dtype=float), -0.9999, 0.9999))
    n = len(nodes)
    se = float(np.sqrt((n - 2) / (2 * n) * ((z - z.mean()) ** 2).sum()))
    half = float(stats.t.ppf(1 - alpha, n - 1)) * se
    middle = float(np.arctanh(np.clip(rho, -0.9999, 0.9999)))
    low, high = float(np.tanh(middle - half)), float(np.tanh(middle + half))
    status: Literal["supported", "contradicted", "undecided"] = (
        "supported" if low > 0 else "contradicted" if high < 0 else "undecided"
    )
    answer = {
        "supported": "smaller angles go with smaller gaps between maps",
        "contradicted": "smaller angles go with larger gaps between maps",
        "undecided": "whether smaller angles go with smaller gaps between maps is open",
    }[status]
    says = (
        f"{answer}: Spearman {rho:+z.2f} ({low:+z.2f} to {high:+z.2f}) over {len(found)} pairs of "
        f"{n} strategies"
    )
    return Prediction(status, rho, (low, high), level, n, tuple(found), says)


def _ends(p: Point) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (p.task, p.init, p.shape, p.first), (p.task, p.init, p.shape, p.second)


def _rho(found: Sequence[Point]) -> float | None:
    angles, gaps = [p.angle for p in found], [p.gap for p in found]
    if len(found) < 3 or len(set(angles)) < 2 or len(set(gaps)) < 2:
        return None
    return float(stats.spearmanr(angles, gaps).statistic)
