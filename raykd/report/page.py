"""Everything that the page tells, gathered into one value, and the parts of its sections.

The verdict in it is the object whose JSON `raykd verdict --json` prints.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raykd.analysis.verdict.verdict import Verdict
from raykd.maps.layer_map import Depth
from raykd.report.figures import Course
from raykd.report.map_figures import Drawn
from raykd.report.plotting import Drawing
from raykd.report.search_figures import ExploredMap
from raykd.tracking.costs import ForecastOutcome


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
    tried: tuple[ExploredMap, ...] = ()
    pruned: int = 0
    """Explored maps whose training was cut short for being among the worst so far."""
    costs: tuple[Cost, ...] = ()
    launches: tuple[ForecastOutcome, ...] = ()
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


@dataclass(frozen=True)
class Table:
    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Finding:
    """One hypothesis: what it claims, how it stands, and what that rests on."""

    status: str
    claim: str
    words: str


@dataclass(frozen=True)
class Detail:
    """What is folded away: findings, a table or a text."""

    title: str
    findings: tuple[Finding, ...] = ()
    table: Table | None = None
    text: str = ""


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    headline: str = ""
    caveats: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    points: tuple[str, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
    details: tuple[Detail, ...] = ()


@dataclass(frozen=True)
class Origin:
    """`command` runs it again; `file` is what `what` says: the sweep file's text, or the table's
    name and hash. Versions and commit are those of the newest launch."""

    command: str
    store: str
    versions: Mapping[str, str]
    commit: str | None
    what: str
    file: str


def of_table(table: Path, command: str) -> Origin:
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    return Origin(command, str(table), {}, None, "The table", f"{table.name}, SHA-256 {digest}")


def of_launch(tags: Mapping[str, str], command: str, store: str, file: str) -> Origin:
    """From the tags of a launch's run (raykd.tracking.launch)."""
    start = "raykd.version."
    versions = {k.removeprefix(start): v for k, v in sorted(tags.items()) if k.startswith(start)}
    return Origin(command, store, versions, tags.get("raykd.commit"), "The sweep file", file)


@dataclass(frozen=True)
class Cost:
    """Finished trials of one phase on one kind of device.

    `seconds` is a student's own training, evaluation and share of the teacher's pass, on average;
    `hours` is their sum over the trials, and over the workers that each one had.
    """

    phase: str
    device: str
    trials: int
    seconds: float
    examples_per_second: float
    hours: float
