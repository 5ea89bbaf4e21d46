"""The verdict as a value: hypotheses with their evidence, cell by cell. Positive effects are
better, whichever way the metric runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from raykd.analysis.as_json import plain
from raykd.analysis.scores.scores import Problem
from raykd.analysis.stats.collapse import Counts
from raykd.analysis.stats.examples import McNemar
from raykd.analysis.stats.gap import Gap
from raykd.analysis.stats.importance import Landscape
from raykd.analysis.stats.mixed import Mixed
from raykd.analysis.stats.sequential import Look
from raykd.analysis.stats.spread import SpreadRatio
from raykd.analysis.stats.variance import Sampled, Shares
from raykd.analysis.stats.winners_curse import Curse
from raykd.analysis.verdict.angles import Angles
from raykd.analysis.verdict.context import Caveat, PublishedComparison, TeacherScore

Status = Literal["supported", "contradicted", "undecided"]
Finding = Literal["equivalent", "different", "better", "worse", "undecided"]


@dataclass(frozen=True)
class Hypothesis:
    """H1, H2, H3, H5 or H6 of one cell. `effect`, `interval` and `strategy` are those of the
    comparison that decided it, or of the one that stands in the way.

    `interval` lies inside the margin where H1 is supported, and wholly outside where it is
    contradicted; None without variance. Where runs are missing it spans what it would be with them
    at the worst and the best score seen. A bound may be infinite (null in JSON). `margin` is the
    bound that the effect is held against: the file's for H1 and H5, 0 for H2, a ratio for H3, and
    for H6 a share of tokens of 0.5, or a difference of 0 where a null decided it.
    `more_seeds`: further seeds that would decide it at the effect and variance seen, with power
    0.8; None where it is decided or where no number would.
    """

    id: str
    task: str
    init: str
    shape: str
    weight: str
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
    """Of H1 and H5, where a look is to come: that the last one decides it, at most."""
    missing: int = 0
    """Runs that it should rest on and that are missing: failed, diverged or not finished."""
    withheld: bool = False
    """Whether the runs that finished would decide it, and the missing ones could undo that."""


@dataclass(frozen=True)
class Case:
    """A comparison with its missing runs filled in: over all seeds that it should have."""

    effect: float
    sd: float
    n: int


@dataclass(frozen=True)
class Missing:
    """The seeds that a comparison lacks, and what it would be with the missing runs filled in:
    `low`, the strategy's at the worst score seen and the reference's at the best; `high`, the
    other way round; `failed`, all of them at the worst."""

    seeds: tuple[int, ...]
    low: Case
    high: Case
    failed: Case


@dataclass(frozen=True)
class Comparison:
    """A strategy against a reference, over the seeds that both have.

    To forward: `equivalent` (TOST), `different` (beyond the margin) or `undecided`. To `none` and
    to controls: `better`, `worse` or `undecided`. Where the claim about every comparison holds,
    each is `equivalent` (`better`) by its own p-value; else findings go by the Holm-adjusted ones.
    Both stand here, of the worst case where runs are missing; those that do not apply are None.
    `p_value` is the one that the finding rests on; of an undecided one, that of the claim.

    `interval` is over seeds on this test set, at the level of the finding (`level`): it lies within
    the margin exactly where the finding is `equivalent`, and beyond it where it is `different`
    (above 0 where `better`, below where `worse`). Where runs are missing it spans their cases.
    `population` takes the test examples as a sample too.
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


def levels(pairs: Iterable[Comparison]) -> tuple[str, ...]:
    """The level of their intervals in words, or that of each finding where findings differ; nothing
    where there is no interval."""
    by_finding = {c.finding: f"{100 * c.level:.3g} %" for c in pairs if c.interval is not None}
    if len(set(by_finding.values())) < 2:
        return tuple(f"{level} interval" for level in set(by_finding.values()))
    order = [f for f in get_args(Finding) if f in by_finding]
    return tuple(f"{by_finding[f]} interval where {f}" for f in order)


@dataclass(frozen=True)
class Arm:
    """One strategy's scores, by seed, as they were measured."""

    strategy: str
    control: bool
    maps: tuple[str, ...]
    seeds: tuple[int, ...]
    scores: tuple[float, ...]
    mean: float
    sd: float | None
    chosen: str = ""
    """The hidden weight that it was tuned to, where that is a factor."""
    missing: tuple[int, ...] = ()
    """Seeds that it lacks: other arms of its cell have them, or its loader names them as lost."""
    failed: tuple[int, ...] = ()
    """Of those, the ones whose run failed or diverged."""
    collapsed: tuple[int, ...] = ()
    """Seeds whose run lies far below the arm's others, or at the majority class (collapse.py)."""
    collapse_bound: float | None = None
    """The collapse rate that its runs do not exclude: exact, one-sided, 95 %."""


@dataclass(frozen=True)
class Controls:
    """Does matching (the mean of the strategies under test) beat its controls?"""

    status: Status
    comparisons: tuple[Comparison, ...]
    says: str


@dataclass(frozen=True)
class Cell:
    """One task x init x shape, and hidden weight where that is a factor: a number, or `tuned`."""

    task: str
    init: str
    shape: str
    weight: str
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
    """Of what the search saw under this init; explored, so never tested."""
    lost: Counts | None = None
    """Missing runs by arm, where there are any."""
    collapses: Counts | None = None
    """Collapsed runs by arm; None without seeds."""

    def hypothesis(self, name: str) -> Hypothesis:
        return next(h for h in self.hypotheses if h.id == name)


@dataclass(frozen=True)
class Verdict:
    """`shares` and `mixed` go over the cells: one of each task and shape with several inits, one
    of each init and shape with several tasks."""

    source: str
    metric: str
    larger_is_better: bool
    margin: float
    alpha: float
    cells: tuple[Cell, ...]
    shares: tuple[tuple[str, str, Shares], ...] = ()
    """(task, shape, shares)"""
    mixed: tuple[Mixed, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    angles: Angles | None = None
    """What the students see of the teacher's blocks, where it was measured."""
    published: tuple[PublishedComparison, ...] = ()
    """This sweep's scores beside published ones, where the file names a table of those."""
    look: Look | None = None
    """Which look it was reached at, where the file states several."""
    scale: float | None = None
    """What a perfect score is: 1 or 100; None where that is not known."""
    teacher: TeacherScore | None = None
    """What the teacher of these students scores, where that is known."""
    caveats: tuple[Caveat, ...] = ()
    """What takes from the findings, to be read before them."""

    @property
    def at(self) -> float:
        """The alpha of its tests and intervals: the look's share where there are looks."""
        return self.look.alpha if self.look else self.alpha

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        return tuple(h for cell in self.cells for h in cell.hypotheses)

    def to_json(self) -> dict[str, Any]:
        """All of it in plain values, the hypotheses of every cell in one list at the top."""
        return {"hypotheses": plain(self.hypotheses), **plain(self)}
