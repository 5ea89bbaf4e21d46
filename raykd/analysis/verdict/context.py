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


CaveatKind = Literal[
    "mean_state", "targets_alike", "teacher_beaten", "coarse", "majority", "data", "judgement"
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
