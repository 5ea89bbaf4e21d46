"""Scores, the input of a verdict. One score is that of one trained student on the test split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from raykd.analysis.claims.stated import StatedClaim
from raykd.errors import UserError

NONE, FORWARD = "none", "forward"
SAMPLED = "uniform_random"

ProblemKind = Literal[
    "failed", "missing", "unpaired", "few_seeds", "no_seeds", "no_reference", "no_rival"
]

CellName = tuple[str, str, str, str, str]
"""(task, init, shape, weight, schedule)"""


def is_sampled(strategy: str) -> bool:
    return re.fullmatch(rf"{SAMPLED}_\d+", strategy) is not None


@dataclass(frozen=True)
class Score:
    """A confirmed student. `score` and `select` are in the metric's units (percent for accuracy).

    `ids` and `correct` hold one entry per test example, in the same order for all scores of a task;
    None without predictions. `correct`: booleans, or the example's score as hundredths, negated if
    smaller is better.
    """

    task: str
    init: str
    shape: str
    strategy: str
    seed: int
    metric: str
    score: float
    map: str = ""
    control: bool = False
    select: float | None = None
    weight: str = ""
    """Weight of the hidden loss, if it is a factor (loss_weights.py): a number, or `tuned`."""
    chosen: str = ""
    """The weight that the strategy was tuned to."""
    schedule: str = ""
    """Name of the schedule of the loss weights, if it is a factor."""
    steps: int | None = None
    """Optimisation steps of the training, if known."""
    ids: np.ndarray | None = field(default=None, compare=False, repr=False)
    correct: np.ndarray | None = field(default=None, compare=False, repr=False)
    endpoints: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)
    """Secondary endpoints on test, by name: nll, brier, agreement."""

    @property
    def cell(self) -> CellName:
        return (self.task, self.init, self.shape, self.weight, self.schedule)

    @property
    def sampled(self) -> bool:
        """Whether the map was sampled to represent all maps; such an arm is not under test."""
        return is_sampled(self.strategy)


@dataclass(frozen=True)
class Explored:
    """A map that the search tried, under the seed of the search. Selected, so never tested."""

    task: str
    init: str
    shape: str
    map: str
    score: float
    """Score on select, in the metric's units."""
    weight: str = ""
    steps: int | None = None
    """Optimisation steps of the training, if known."""
    schedule: str = ""

    @property
    def cell(self) -> CellName:
        return (self.task, self.init, self.shape, self.weight, self.schedule)


@dataclass(frozen=True)
class Problem:
    """A missing run, reference, pair or seed. It is reported and not filled in."""

    kind: ProblemKind
    says: str
    task: str | None = None
    init: str | None = None
    shape: str | None = None
    strategy: str | None = None
    control: bool = False
    weight: str = ""
    seeds: tuple[int, ...] = ()
    """Seeds of the runs that failed or are not finished."""
    schedule: str = ""

    @property
    def cell(self) -> tuple[str | None, ...]:
        return (self.task, self.init, self.shape, self.weight, self.schedule)


@dataclass(frozen=True)
class Scores:
    """All scores of a sweep or a table.

    `seeded` is false if the seeds of the scores are unknown. `resolution` is the smallest step of a
    score, 0 if unknown; `steps` has it by task. `scale` is the perfect score: 1, or 100 in percent;
    None if the metric has no such bound or is unknown. `majority` is the test score of the majority
    class, if known. `margin` is that of the table, if it has one; `notes` state how the table was
    read. `failed`: scores in a table of runs that failed, which are not results but may be the
    worst scores seen. `endpoint_margins`: the stated margins of secondary endpoints."""

    items: tuple[Score, ...]
    metric: str
    larger_is_better: bool = True
    seeded: bool = True
    resolution: float = 0.0
    explored: tuple[Explored, ...] = ()
    problems: tuple[Problem, ...] = ()
    source: str = ""
    majority: float | None = None
    scale: float | None = None
    steps: tuple[tuple[str, float], ...] = ()
    margin: float | None = None
    notes: tuple[str, ...] = ()
    failed: tuple[Score, ...] = ()
    endpoint_margins: Mapping[str, float] = field(default_factory=dict)
    stages: tuple[tuple[int, ...], ...] = ()
    """The seeds of the first judgement and those added after each, if any were added."""
    extend: bool = False
    """Whether an extension was stated before the sweep."""
    claims: tuple[StatedClaim, ...] = ()
    """Claims to be judged beside the hypotheses."""

    def step(self, task: str) -> float:
        return dict(self.steps).get(task, self.resolution)

    @property
    def cells(self) -> tuple[CellName, ...]:
        """The cells in order of first appearance."""
        return tuple(dict.fromkeys(s.cell for s in self.items))


def refuse_one_strategy(
    where: str, items: Iterable[Score], claims: Sequence[StatedClaim] = ()
) -> None:
    """Raise UserError if there are fewer than two strategies to compare, and no claim, which may
    compare one strategy with no matching, or with itself under another init or schedule."""
    names = {s.strategy for s in items if not s.control} - {NONE}
    if len(names) < 2 and not claims:
        raise UserError(
            f"{where}: only {', '.join(names) or NONE} here; a verdict compares strategies, so add "
            "at least forward and one other"
        )
