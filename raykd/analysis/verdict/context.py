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


CaveatKind = Literal["mean_state", "targets_alike", "teacher_beaten", "coarse", "majority", "data"]


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
