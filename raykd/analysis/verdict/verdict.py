"""The verdict as a value: hypotheses with their evidence, cell by cell. Positive effects are
better, in whichever direction the metric improves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from raykd.analysis.as_json import plain
from raykd.analysis.claims.results import ClaimResult
from raykd.analysis.scores.loss_weights import TUNED
from raykd.analysis.scores.scores import CellName, Problem
from raykd.analysis.stats.collapse import Counts
from raykd.analysis.stats.examples import McNemar
from raykd.analysis.stats.gap import Gap
from raykd.analysis.stats.margins import LargerTest, LargestDifference, Probabilities
from raykd.analysis.stats.mixed import Mixed
from raykd.analysis.stats.pooled import Pooled
from raykd.analysis.stats.search.importance import Landscape
from raykd.analysis.stats.search.winners_curse import Curse
from raykd.analysis.stats.sequential import Look
from raykd.analysis.stats.spread import SpreadRatio
from raykd.analysis.stats.stages import Judgement
from raykd.analysis.stats.variance import Sampled, Shares
from raykd.analysis.verdict.angles import Angles
from raykd.analysis.verdict.context import (
    Caveat,
    Endpoint,
    EndpointDifference,
    Imitation,
    Mechanism,
    OverCells,
    PublishedComparison,
    TeacherScore,
)

Status = Literal["supported", "contradicted", "undecided"]
Finding = Literal["equivalent", "different", "better", "worse", "undecided"]


@dataclass(frozen=True)
class Hypothesis:
    """H1, H2, H3, H5 or H6 of one cell. `effect`, `interval` and `strategy` are those of the
    comparison that decides it, or of the one that prevents a decision.

    `interval` lies inside the margin if H1 is supported and wholly outside if it is contradicted;
    None without variance. If runs are missing, it spans the intervals with them at the worst and
    the best score seen. A bound may be infinite (null in JSON). `margin` is the bound for the
    effect: that of the sweep file for H1 and H5, 0 for H2, a ratio for H3, and for H6 that of the
    agreement of gradients, or 0 for an excess of R². `more_seeds`: further seeds that would
    decide it at the observed effect and variance, with power 0.8; None if it is decided or if no
    number of seeds would suffice.
    """

    id: str
    task: str
    init: str
    shape: str
    weight: str
    schedule: str
    status: Status
    effect: float | None
    interval: tuple[float, float] | None
    level: float | None
    n: int
    margin: float
    more_seeds: int | None
    strategy: str | None
    says: str
    chance: float | None = None
    """Upper bound on the probability that the last look decides H1 or H5, if a look remains."""
    missing: int = 0  # runs: failed, diverged or not finished
    more_seeds_range: tuple[int, int | None] | None = None
    """`more_seeds` at the ends of the 80 % intervals of the SDs; None for no such number."""
    withheld: bool = False
    """Whether the finished runs would decide it, but the missing runs could change that."""


@dataclass(frozen=True)
class Case:
    """A comparison with its missing runs filled in, over all expected seeds. `stages`: those of the
    first seeds and of the added ones, if the tests combine both."""

    effect: float
    sd: float
    n: int
    stages: tuple[Case, ...] = ()


@dataclass(frozen=True)
class Missing:
    """The missing seeds of a comparison, and the comparison with the missing runs filled in.
    `low`: the strategy at the worst score seen and the reference at the best. `high`: the other way
    round. `failed`: both at the worst."""

    seeds: tuple[int, ...]
    low: Case
    high: Case
    failed: Case


@dataclass(frozen=True)
class Comparison:
    """Comparison of a strategy with a reference, over their common seeds.

    With forward: `equivalent` (TOST), `different` (beyond the margin) or `undecided`. With `none`
    and with controls: `better`, `worse` or `undecided`. If the claim about every comparison holds,
    each is `equivalent` (`better`) by its own p-value; otherwise Holm-adjusted p-values decide.
    Both are given, of the worst case if runs are missing; those that do not apply are None.
    `p_value` is the one that decides the finding, or that of the claim if it is undecided.

    `interval` is over seeds on this test set, at the level of the finding (`level`). It lies within
    the margin exactly if the finding is `equivalent`, and beyond it if `different` (above 0 if
    `better`, below if `worse`). If runs are missing, it spans their cases. `population` treats the
    test examples as a sample too.
    """

    strategy: str
    reference: str
    finding: Finding
    effect: float
    sd: float | None
    interval: tuple[float, float] | None
    level: float
    n: int
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    p_tost: float | None = None
    p_tost_holm: float | None = None
    p_beyond: float | None = None
    p_beyond_holm: float | None = None
    p_better: float | None = None
    p_better_holm: float | None = None
    p_worse: float | None = None
    p_worse_holm: float | None = None
    p_value: float | None = None
    population: tuple[float, float] | None = None
    mcnemar: tuple[McNemar, ...] = ()
    missing: Missing | None = None
    stages: tuple[Case, ...] = ()  # as in Case
    probabilities: Probabilities | None = None
    """With forward: of the true difference against the margin, over the finished pairs."""


def levels(pairs: Iterable[Comparison | EndpointDifference]) -> tuple[str, ...]:
    """Return the level of the intervals in words, or one per finding if levels differ; empty
    without intervals."""
    by_finding = {c.finding: f"{100 * c.level:.3g} %" for c in pairs if c.interval is not None}
    if len(distinct := set(by_finding.values())) < 2:
        return tuple(f"{level} interval" for level in distinct)
    order = [f for f in get_args(Finding) if f in by_finding]
    return tuple(f"{by_finding[f]} interval where {f}" for f in order)


@dataclass(frozen=True)
class Arm:
    """Measured scores of one strategy, by seed."""

    strategy: str
    control: bool
    maps: tuple[str, ...]
    seeds: tuple[int, ...]
    scores: tuple[float, ...]
    mean: float
    sd: float | None
    chosen: str = ""
    """Hidden weight that was chosen for most seeds, if the weight is a factor."""
    choices: tuple[str, ...] = ()
    """The hidden weight that was chosen for each seed; empty if none was."""
    missing: tuple[int, ...] = ()
    """Missing seeds: other arms of the cell have them, or the loader reports them as lost."""
    failed: tuple[int, ...] = ()
    """The missing seeds whose run failed or diverged."""
    collapsed: tuple[int, ...] = ()
    """Seeds of runs far below the others of the arm or at the majority class (collapse.py)."""
    collapse_bound: float | None = None
    """Upper bound of the collapse rate: exact, one-sided, 95 %."""


@dataclass(frozen=True)
class Controls:
    """Whether matching (the mean of the strategies under test) beats its controls."""

    status: Status
    comparisons: tuple[Comparison, ...]
    says: str


@dataclass(frozen=True)
class Cell:
    """One task x init x shape, and hidden weight (a number or `tuned`) and schedule if they are
    factors."""

    task: str
    init: str
    shape: str
    weight: str
    schedule: str
    arms: tuple[Arm, ...]
    hypotheses: tuple[Hypothesis, ...]
    to_forward: tuple[Comparison, ...]
    to_none: tuple[Comparison, ...]
    gap: Gap | None
    ratio: SpreadRatio | None
    shares: Shares | None
    sampled: Sampled | None
    curse: tuple[Curse, ...]
    controls: Controls | None
    problems: tuple[Problem, ...]
    landscape: Landscape | None = None
    """Landscape of the search under this init; its scores are selected, so never tested."""
    lost: Counts | None = None
    """Missing runs by arm; None without any."""
    collapses: Counts | None = None
    """Collapsed runs by arm; None without seeds."""
    largest: LargestDifference | None = None
    """The largest difference to forward that the seeds do not exclude."""
    larger_test: LargerTest | None = None
    """What twice as many test examples would save, if the answers to each are known."""
    pooled: Pooled | None = None
    """Differences to forward with one variance for all arms. For display: they decide nothing."""
    imitation: Imitation | None = None
    """What the students imitated, if they were measured."""
    endpoints: tuple[Endpoint, ...] = ()
    """Secondary endpoints, if they were measured."""
    mechanism: Mechanism | None = None
    """Evidence on H6, if gradients were measured."""

    @property
    def name(self) -> CellName:
        return (self.task, self.init, self.shape, self.weight, self.schedule)

    @property
    def factors(self) -> str:
        """The hidden weight and the schedule in words, each after a comma; empty if they are no
        factors."""
        weight = {"": "", TUNED: ", each at its best hidden weight"}.get(
            self.weight, f", hidden weight {self.weight}"
        )
        return weight + (f", schedule {self.schedule}" if self.schedule else "")

    def hypothesis(self, name: str) -> Hypothesis:
        return next(h for h in self.hypotheses if h.id == name)


@dataclass(frozen=True)
class Verdict:
    """`shares` and `mixed` span cells: `shares` has an entry per task, shape and schedule with
    several inits, `mixed` one per init, shape, metric and schedule with several tasks."""

    source: str
    metric: str
    larger_is_better: bool
    margin: float
    """The margin of the tests: the stated one, or two steps of the score if that is larger."""
    stated_margin: float
    alpha: float
    cells: tuple[Cell, ...]
    shares: tuple[tuple[str, str, Shares, str], ...] = ()
    """(task, shape, shares, schedule)"""
    mixed: tuple[Mixed, ...] = ()
    over_cells: OverCells | None = None
    """H4, if there are several cells."""
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    angles: Angles | None = None
    """Angles between the teacher's blocks seen from the students, if they were measured."""
    published: tuple[PublishedComparison, ...] = ()
    """Comparison with published scores, if the sweep file names a table of them."""
    judgement: Judgement | None = None
    """Which judgement it is, if seeds were added to a final verdict or may be."""
    look: Look | None = None
    """The look at which the verdict was reached, if the sweep file states several."""
    scale: float | None = None
    """The perfect score: 1 or 100; None if unknown."""
    teacher: TeacherScore | None = None
    """Scores of the teacher, if they are known."""
    caveats: tuple[Caveat, ...] = ()
    """Reasons to doubt the findings, to be read before them."""
    claims: tuple[ClaimResult, ...] = ()
    """The answers to the claims of the sweep file."""

    @property
    def at(self) -> float:
        """Alpha of the tests and intervals: a share of it if the sweep file shares it out."""
        share = self.judgement.level(self.alpha) if self.judgement else self.alpha
        return self.look.alpha if self.look else share

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        return tuple(h for cell in self.cells for h in cell.hypotheses)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with the hypotheses of all cells in one list at the top."""
        return {"hypotheses": plain(self.hypotheses), **plain(self)}
