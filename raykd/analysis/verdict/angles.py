"""Angles summarised over the students of a sweep, and whether they predict gaps between maps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from scipy import stats

from raykd.analysis.scores.scores import NONE, CellName
from raykd.maps.layer_map import LayerMap
from raykd.training.angles.values import Block, Measured

FEWEST = 4  # minimum number of strategies for the leave-one-out interval


@dataclass(frozen=True)
class StudentAngles:
    """Angles of a confirmed student at the end of its training, and its test score."""

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
    """Weight of the hidden loss, if it is a factor of the sweep."""
    schedule: str = ""
    """Name of the schedule, likewise."""

    @property
    def cell(self) -> CellName:
        return (self.task, self.init, self.shape, self.weight, self.schedule)

    @property
    def matched(self) -> bool:
        """Whether the student was matched to teacher blocks and is not a control."""
        return self.strategy != NONE and not self.control


@dataclass(frozen=True)
class BlockAngles:
    """Angles seen from one student block of one strategy: means over its seeds and over all pairs
    of teacher blocks.

    `raw`, `centred`, `gradient` (the gradients agree) and the nulls `shuffled` and `untrained` are
    shares of tokens with an acute angle. `ratio` is the median Thales ratio, `far` the share above
    2. `lowest` is the lowest raw share of any pair, that of `first` and `second`."""

    task: str
    init: str
    shape: str
    weight: str
    schedule: str
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
    """Two strategies of a cell: the mean angle (degrees) between the teacher blocks that they
    assign to the same student block, seen from their students, and the gap between their scores."""

    task: str
    init: str
    shape: str
    weight: str
    schedule: str
    first: str
    second: str
    angle: float
    gap: float


@dataclass(frozen=True)
class Prediction:
    """Test of the claim that smaller angles go with smaller gaps. `rho`: Spearman's correlation
    over the points; None, like `interval`, with too few points. `strategies`: number of strategies,
    counted per cell."""

    status: Literal["supported", "contradicted", "undecided"]
    rho: float | None
    interval: tuple[float, float] | None
    level: float
    strategies: int
    points: tuple[Point, ...]
    says: str


@dataclass(frozen=True)
class AcuteShare:
    """The paper's own figure in one cell: the share of tokens that see two teacher blocks at an
    acute angle, as a mean over the matched students, their blocks and pairs. `lowest` is that of
    the lowest pair, with its interval over seeds and examples. It decides nothing."""

    task: str
    init: str
    shape: str
    weight: str
    schedule: str
    mean: float
    lowest: float
    interval: tuple[float, float]
    level: float
    strategy: str
    student: int
    first: int
    second: int
    seeds: int
    says: str


@dataclass(frozen=True)
class Angles:
    """The angles of a sweep, and whether they predict gaps between maps."""

    shares: tuple[AcuteShare, ...]
    blocks: tuple[BlockAngles, ...]
    prediction: Prediction


def summary(students: Iterable[StudentAngles]) -> tuple[BlockAngles, ...]:
    """Return a row for each cell, strategy and student block."""
    groups: dict[tuple[CellName, str, int], list[tuple[StudentAngles, Block]]] = {}
    for student in students:
        for block in student.measured.blocks:
            groups.setdefault((student.cell, student.strategy, block.student), []).append(
                (student, block)
            )
    return tuple(
        _row(cell, name, block, measurements)
        for (cell, name, block), measurements in groups.items()
    )


def _row(
    cell: CellName, strategy: str, student: int, measurements: Sequence[tuple[StudentAngles, Block]]
) -> BlockAngles:
    blocks = [block for _, block in measurements]
    shares = np.mean([[pair.raw.share_acute for pair in block.pairs] for block in blocks], axis=0)
    lowest = blocks[0].pairs[int(np.argmin(shares))]

    def share(view: str) -> float:
        return float(np.mean([block.share_acute(view) for block in blocks]))

    thales = [pair.thales for block in blocks for pair in block.pairs]
    return BlockAngles(
        *cell,
        strategy=strategy,
        control=measurements[0][0].control,
        student=student,
        seeds=len(measurements),
        raw=share("raw"),
        cosine=float(np.mean([block.cosine() for block in blocks])),
        centred=share("centred"),
        gradient=share("gradient"),
        shuffled=share("shuffled"),
        untrained=share("untrained"),
        ratio=float(np.mean([ratio.median for ratio in thales])),
        far=float(np.mean([ratio.above[1] for ratio in thales])),
        lowest=float(shares.min()),
        first=lowest.first,
        second=lowest.second,
    )


def points(students: Iterable[StudentAngles]) -> tuple[Point, ...]:
    """Return a point for each pair of matched strategies of a cell, over their common seeds."""
    arms: dict[CellName, dict[str, dict[int, StudentAngles]]] = {}
    for student in students:
        if student.matched:
            arms.setdefault(student.cell, {}).setdefault(student.strategy, {})[student.seed] = (
                student
            )
    result = []
    for cell, by_strategy in arms.items():
        for first, second in combinations(sorted(by_strategy), 2):
            pairs = [
                (by_strategy[first][k], by_strategy[second][k])
                for k in by_strategy[first].keys() & by_strategy[second].keys()
            ]
            angles = [a for a in (_between(*pair) for pair in pairs) if a is not None]
            if angles:
                gap = abs(float(np.mean([a.score - b.score for a, b in pairs])))
                result.append(Point(*cell, first, second, float(np.mean(angles)), gap))
    return tuple(result)


def _between(first: StudentAngles, second: StudentAngles) -> float | None:
    """Return the mean angle in degrees over the student blocks that both maps match to one teacher
    block each, or None without such a block. Each angle is the arccosine of a mean cosine."""
    maps = [
        [t[0].block if len(t) == 1 else None for t in LayerMap.parse(s.map).targets]
        for s in (first, second)
    ]
    degrees = []
    for student, targets in enumerate(zip(*maps, strict=True), 1):
        if None in targets:
            continue
        if targets[0] == targets[1]:
            degrees.append(0.0)
            continue
        low, high = sorted(n for n in targets if n is not None)
        views = [
            p.raw
            for s in (first, second)
            for b in s.measured.blocks
            for p in b.pairs
            if b.student == student and (p.first, p.second) == (low, high) and p.raw.tokens
        ]
        if views:
            cosine = np.mean([v.cosine for v in views])
            degrees.append(float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))))
    return float(np.mean(degrees)) if degrees else None


def predict(pairs: Sequence[Point], alpha: float) -> Prediction:
    """Return "supported" if the rank correlation is shown to be above 0, "contradicted" if below.

    Two points that share a strategy are dependent, so the interval comes from leaving out one
    strategy at a time: the jackknife for dyads (Snijders and Borgatti 1999), on Fisher's z scale,
    with a t quantile of `strategies - 1` degrees of freedom.
    """
    nodes = list(dict.fromkeys(n for p in pairs for n in _ends(p)))
    level = 1 - 2 * alpha
    undecided = Prediction("undecided", None, None, level, len(nodes), tuple(pairs), "")
    rho = _rho(pairs)
    left_out = [_rho([p for p in pairs if n not in _ends(p)]) for n in nodes]
    if rho is None or len(nodes) < FEWEST or None in left_out:
        says = "too few strategies to tell whether smaller angles go with smaller gaps between maps"
        return replace(undecided, rho=rho, says=f"{says} ({len(pairs)} pairs)")
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
        f"{answer}: Spearman {rho:+z.2f} ({low:+z.2f} to {high:+z.2f}) over {len(pairs)} pairs of "
        f"{n} strategies"
    )
    return Prediction(status, rho, (low, high), level, n, tuple(pairs), says)


def _ends(p: Point) -> tuple[tuple[str, ...], tuple[str, ...]]:
    place = (p.task, p.init, p.shape, p.schedule)
    return (*place, p.first), (*place, p.second)


def _rho(pairs: Sequence[Point]) -> float | None:
    angles, gaps = [p.angle for p in pairs], [p.gap for p in pairs]
    if len(pairs) < 3 or len(set(angles)) < 2 or len(set(gaps)) < 2:
        return None
    return float(stats.spearmanr(angles, gaps).statistic)
