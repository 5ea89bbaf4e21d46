"""What stands beside a verdict's findings: caveats, the teacher's score, published scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PublishedComparison:
    """One strategy in one setting. `published` is the mean where several scores were published;
    `difference` is ours minus theirs, in the metric's units. `inside`: whether theirs lies in the
    range of our seeds; None with fewer than two seeds."""

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


CaveatKind = Literal["teacher_beaten", "coarse", "majority", "data"]


@dataclass(frozen=True)
class Caveat:
    """One reason for doubt, as a sentence without its full stop."""

    kind: CaveatKind
    says: str


@dataclass(frozen=True)
class TeacherScore:
    """What the students' teacher scores, in the metric's units (percent for accuracy). `majority`
    is the best that one and the same answer to every test example scores."""

    fingerprint: str
    metric: str
    test: float
    select: float
    majority: float
