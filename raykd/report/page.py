"""The content of the page as one value, and the parts of its sections.

Its verdict is the object that `raykd verdict --json` prints as JSON.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

from raykd.analysis.verdict.rivals import weight_of
from raykd.analysis.verdict.verdict import Arm, Cell, Verdict
from raykd.maps.depth import Depth
from raykd.report.curve_figures import Course
from raykd.report.map_figures import Drawn
from raykd.report.plotting import Drawing
from raykd.report.search_figures import ExploredMap
from raykd.tasks.kinds.metric import metric_named
from raykd.tracking.costs import ForecastOutcome


@dataclass(frozen=True)
class Runs:
    """The MLflow runs of the confirmed students: run ids by (init, hidden weight, strategy, seed,
    schedule). `server`: the address of MLflow's UI on the store, if the store is a server."""

    ids: Mapping[tuple[str, str, str, int, str], str] = field(default_factory=dict)
    server: str = ""
    experiment: str = ""
    metric: str = ""
    """Name of the metric in MLflow by which lists are sorted."""

    def of(self, cell: Cell, arm: Arm, seed: int) -> str:
        """Return the run id of a student, or an empty string if it is unknown. An arm that matches
        nothing was trained once for all weights."""
        weights = (weight_of(arm, seed) or cell.weight, "")
        keys = ((cell.init, weight, arm.strategy, seed, cell.schedule) for weight in weights)
        return next((self.ids[key] for key in keys if key in self.ids), "")

    def page(self, run: str) -> str:
        """Return the address of a run's page, or an empty string without a server."""
        if not (self.server and run):
            return ""
        return f"{self.server}/#/experiments/{self.experiment}/runs/{run}"

    def of_strategy(self, strategy: str) -> str:
        """Return the address of the list of a strategy's confirmed runs, or an empty string."""
        if not (self.server and any(name == strategy for _, _, name, _, _ in self.ids)):
            return ""
        chosen = f'params.phase = "confirm" AND params.strategy = "{strategy}"'
        named = metric_named(self.metric.removeprefix("test_"))
        query = urlencode(
            {"workflowType": "machine_learning", "compareRunsMode": "TABLE",
             "searchFilter": chosen, "orderByKey": f"metrics.`{self.metric}`",
             "orderByAsc": str(not named.larger_is_better).lower()}, quote_via=quote,
        )  # fmt: skip
        return f"{self.server}/#/experiments/{self.experiment}/runs?{query}"


@dataclass(frozen=True)
class Page:
    """Page of a sweep, or of a table, which has only scores.

    `setting`: data, teacher and student in a sentence. `teacher_blocks`: number of teacher blocks,
    for `maps` and `tried`, the explored maps in the order of the search. `missing`: a sentence for
    each missing part, in addition to the verdict's problems.
    """

    name: str
    setting: str
    verdict: Verdict
    origin: Origin
    data: tuple[str, ...] = ()
    """Sentences on dropped rows and truncated texts of the data set."""
    courses: tuple[Course, ...] = ()
    maps: tuple[Drawn, ...] = ()
    teacher_blocks: Depth = Depth(0)
    tried: tuple[ExploredMap, ...] = ()
    pruned: int = 0
    """Number of explored maps whose training was stopped early for low scores."""
    costs: tuple[Cost, ...] = ()
    launches: tuple[ForecastOutcome, ...] = ()
    """Estimated and actual time and cost of each launch."""
    missing: tuple[str, ...] = ()
    angles: Section | None = None
    """The section on angles between teacher layers, if they were measured."""
    runs: Runs = Runs()

    @property
    def slug(self) -> str:
        """The name in a form that is valid in a file name."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.name)

    @property
    def score(self) -> str:
        """Name of the score for axes: `test accuracy`."""
        metric = self.verdict.metric
        return "test score" if ", " in metric else f"test {metric}"


@dataclass(frozen=True)
class Entry:
    """A table cell with a number to sort by, and a link."""

    text: str
    key: float | None = None
    href: str = ""


@dataclass(frozen=True)
class Table:
    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str | Entry, ...], ...]
    sortable: bool = False


@dataclass(frozen=True)
class Finding:
    """One hypothesis: its status, its claim, and the evidence in words."""

    status: str
    claim: str
    words: str


@dataclass(frozen=True)
class Detail:
    """Collapsible content: findings, a table or a text."""

    title: str
    findings: tuple[Finding, ...] = ()
    table: Table | None = None
    text: str = ""
    open: bool = False


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    headline: str = ""
    shares: Table | None = None
    """Share of the teacher's score, beside the first figure."""
    advice: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    points: tuple[str, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
    details: tuple[Detail, ...] = ()
    downloads: tuple[Entry, ...] = ()
    """Files by name, each with its content as a data: address."""


@dataclass(frozen=True)
class Origin:
    """How to reproduce the page. `command` runs the sweep again. `file`: text of the sweep file, or
    name and hash of the table; `what` is its heading. `versions` and `commit` are those of the
    newest launch."""

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
    """Return the origin from the tags of a launch's run (raykd.tracking.launch)."""
    start = "raykd.version."
    versions = {k.removeprefix(start): v for k, v in sorted(tags.items()) if k.startswith(start)}
    return Origin(command, store, versions, tags.get("raykd.commit"), "The sweep file", file)


@dataclass(frozen=True)
class Cost:
    """Cost of the finished trials of one phase on one kind of device.

    `seconds`: mean time per student for training, evaluation and its share of the teacher's pass.
    `hours`: sum over the trials, times the data-parallel workers of a trial.
    """

    phase: str
    device: str
    trials: int
    seconds: float
    examples_per_second: float
    hours: float
