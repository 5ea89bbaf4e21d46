"""Everything that the page tells, gathered into one value. The verdict in it is the object whose
JSON `raykd verdict --json` prints."""

from __future__ import annotations

import re
from dataclasses import dataclass

from raykd.analysis.verdict.verdict import Verdict
from raykd.maps.activations import Depth
from raykd.report.cost import Cost
from raykd.report.courses import Course
from raykd.report.map_figures import Drawn
from raykd.report.origin import Origin
from raykd.report.search_figures import Tried
from raykd.report.section import Section
from raykd.tracking.costs import Compared


@dataclass(frozen=True)
class Page:
    """A sweep's page, or a table's, which has scores alone and the rest empty.

    `setting`: data, teacher and student in a sentence. `teacher_blocks` goes with `maps` and
    `tried`, the explored maps in the order of the search.
    `missing`: what is not there, a sentence each, beside the verdict's own problems.
    """

    name: str
    setting: str
    verdict: Verdict
    origin: Origin
    data: tuple[str, ...] = ()
    """What became of the data set's rows, a sentence each."""
    courses: tuple[Course, ...] = ()
    maps: tuple[Drawn, ...] = ()
    teacher_blocks: Depth = 0
    tried: tuple[Tried, ...] = ()
    pruned: int = 0
    """Explored maps whose training was cut short for being among the worst so far."""
    costs: tuple[Cost, ...] = ()
    launches: tuple[Compared, ...] = ()
    """What each launch was to take, and what it took."""
    missing: tuple[str, ...] = ()
    angles: Section | None = None
    """What was measured of the angles between teacher layers, ready to show."""

    @property
    def slug(self) -> str:
        """The name as part of a file's name."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.name)

    @property
    def score(self) -> str:
        """What was measured, for axes: `test accuracy`."""
        metric = self.verdict.metric
        return "test score" if ", " in metric else f"test {metric}"
