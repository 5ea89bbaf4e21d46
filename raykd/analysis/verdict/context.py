"""Context of a verdict: caveats, the teacher's score and published scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PublishedComparison:
    """Comparison of one strategy in one setting with published scores. `published` is the mean of
    the published scores; `difference` is `mean - published`, in the metric's units. `inside`:
    whether `published` lies in the range of this sweep's seeds; None with fewer than two seeds."""

    task: str
    init: str
    shape: str
    strategy: str
    metric: str
    published: float
    mean: float
    low: float
    high: float
    n: int
    difference: float
    inside: bool | None


@dataclass(frozen=True)
class GradientAgreement:
    """Whether the hidden losses to a student block's own target and to another teacher block push
    the block's parameters the same way: mean cosine of the gradients over training and seeds.

    `null` is the cosine with the other block's states at other tokens. `agreement` is
    (cosine - null) / (1 - null): 0 for an unrelated target, 1 for the own one. `student` is None
    for a strategy that draws a new map for each seed: a mean over its student blocks.
    """

    strategy: str
    student: str | None
    teacher: str
    cosine: float
    null: float
    agreement: float
    interval: tuple[float, float] | None
    seeds: int


@dataclass(frozen=True)
class Transfer:
    """R² on a teacher block that student blocks gain over `none`: if they are matched to it, and if
    they are matched elsewhere. R² below 0, worse than the mean state, counts as 0.

    `excess` is the gain elsewhere minus the margin's share of the gain where matched. `p_gain` is
    the p-value that students matched to the block gain at all.
    """

    student: str
    teacher: str
    matched: float
    elsewhere: float
    excess: float
    interval: tuple[float, float] | None
    p_gain: float
    seeds: int


@dataclass(frozen=True)
class Mechanism:
    """Evidence on H6 in one cell. `margin`: of the agreement, and the share of the gain that must
    transfer. `level`: of the intervals. `transfers` is empty without students of `none` in the
    teacher's width, or with one strategy."""

    margin: float
    level: float
    agreements: tuple[GradientAgreement, ...]
    transfers: tuple[Transfer, ...]


@dataclass(frozen=True)
class CellAverage:
    """Difference of a strategy to forward, averaged over the cells that compare them (random
    effects). `tau`: SD of the true differences of the cells; None without seeds. `finding` and the
    level of the interval follow the rules of a comparison in one cell. If runs are missing, the
    interval spans their cases."""

    strategy: str
    cells: int
    effect: float
    tau: float | None
    interval: tuple[float, float]
    level: float
    p_equivalent: float
    p_beyond: float
    finding: Literal["equivalent", "different", "undecided"]


@dataclass(frozen=True)
class OverCells:
    """H4: the answer to H1 holds over the cells (tasks, inits, shapes, schedules).

    `everywhere`: every strategy is equivalent to forward in every cell. `effect`, `interval`,
    `level`, `strategy` and `cell` are those of the comparison that decides it, or that prevents a
    decision. `average`: every strategy is equivalent to forward on average over cells like these;
    None if it is withheld. `dependent`: groups of cells that share one teacher, in words.
    """

    cells: int
    everywhere: Literal["supported", "contradicted", "undecided"]
    effect: float
    interval: tuple[float, float] | None
    level: float | None
    margin: float
    strategy: str
    cell: tuple[str, str, str, str, str]
    says: str
    average: Literal["supported", "contradicted", "undecided"] | None
    averages: tuple[CellAverage, ...]
    average_says: str
    dependent: tuple[str, ...]


CaveatKind = Literal[
    "mean_state",
    "targets_alike",
    "teacher_beaten",
    "coarse",
    "majority",
    "data",
    "judgement",
    "claim",
]


@dataclass(frozen=True)
class Caveat:
    """A reason for doubt, as a sentence without a full stop."""

    kind: CaveatKind
    says: str


@dataclass(frozen=True)
class TeacherScore:
    """Scores of the students' teacher, in the metric's units (percent for accuracy). `majority` is
    the best score of a constant answer on the test split."""

    fingerprint: str
    metric: str
    test: float
    select: float
    majority: float


@dataclass(frozen=True)
class EndpointMean:
    """The mean of a secondary endpoint over the seeds of one strategy."""

    strategy: str
    control: bool
    mean: float
    seeds: int


@dataclass(frozen=True)
class EndpointDifference:
    """Paired difference of a strategy to forward in a secondary endpoint; positive is better.
    `interval` is at `level`. `finding` has the meaning of a comparison's; None without a margin."""

    strategy: str
    finding: Literal["equivalent", "different", "undecided"] | None
    effect: float
    interval: tuple[float, float] | None
    level: float
    n: int


@dataclass(frozen=True)
class Endpoint:
    """A secondary endpoint of one cell: `nll` (nats), `brier` (0 to 2) or `agreement` with the
    teacher (percent). It decides no hypothesis. `margin` is the stated one, or two steps of the
    endpoint if that is larger; None if none is stated."""

    name: str
    larger_is_better: bool
    margin: float | None
    stated_margin: float | None
    means: tuple[EndpointMean, ...]
    to_forward: tuple[EndpointDifference, ...]

    @property
    def scale(self) -> float:
        """What the digits of its differences must show: the margin or, if none is stated, the width
        of the narrowest interval."""
        widths = [d.interval[1] - d.interval[0] for d in self.to_forward if d.interval]
        return min(widths, default=0.0) if self.margin is None else self.margin


@dataclass(frozen=True)
class PairImitation:
    """R² of a matched pair under one strategy: 1 for a copy of the teacher's state, 0 for its mean
    state. `lookup`: R² of the best vector of each token id. `unmatched`: the same pair under
    `none`, if its width allows a comparison. Means over `seeds` seeds; a random strategy has each
    pair in some seeds only."""

    strategy: str
    control: bool
    student: str
    teacher: str
    r2: float
    interval: tuple[float, float] | None
    lookup: float | None
    unmatched: float | None
    seeds: int


@dataclass(frozen=True)
class TargetGain:
    """R² on one teacher state of the student states that are matched to it, minus that of the same
    student states matched elsewhere, paired by seed."""

    teacher: str
    gain: float
    interval: tuple[float, float] | None
    seeds: int


@dataclass(frozen=True)
class Imitation:
    """What the students of a cell imitated at the end of their training, on held-out tokens.
    `level`: that of the intervals, over seeds."""

    pairs: tuple[PairImitation, ...]
    gains: tuple[TargetGain, ...]
    level: float
    matching_ended: bool = False
    """Whether the schedule gives the hidden loss no weight at the end of training."""
