"""Scores: what a verdict is reached from. One score is one trained student on the test split."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from raykd.errors import UserError

NONE, FORWARD = "none", "forward"
SAMPLED = "uniform_random"

ProblemKind = Literal[
    "failed", "missing", "unpaired", "few_seeds", "no_seeds", "no_reference", "no_rival"
]

CellName = tuple[str, str, str, str]
"""(task, init, shape, weight)"""


def is_sampled(strategy: str) -> bool:
    return re.fullmatch(rf"{SAMPLED}_\d+", strategy) is not None


@dataclass(frozen=True)
class Score:
    """A confirmed student. `score` and `select` are in the metric's units (percent for accuracy).

    `ids` and `correct` hold one entry per test example, in one order for all scores of a task;
    None where the predictions are not at hand.
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
    """Of the hidden loss, where that is a factor (loss_weights.py): a number, or `tuned`."""
    chosen: str = ""
    """The weight that a tuned strategy has."""
    ids: np.ndarray | None = field(default=None, compare=False, repr=False)
    correct: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def cell(self) -> CellName:
        return (self.task, self.init, self.shape, self.weight)

    @property
    def sampled(self) -> bool:
        """Whether its map was drawn at random to stand for all maps: no strategy under test."""
        return is_sampled(self.strategy)


@dataclass(frozen=True)
class Explored:
    """A map that the search tried, under the search's own seed: selected, so never tested."""

    task: str
    init: str
    shape: str
    map: str
    score: float
    """On select, in the metric's units."""
    weight: str = ""

    @property
    def cell(self) -> CellName:
        return (self.task, self.init, self.shape, self.weight)


@dataclass(frozen=True)
class Problem:
    """Something that is not there, named rather than filled in."""

    kind: ProblemKind
    says: str
    task: str | None = None
    init: str | None = None
    shape: str | None = None
    strategy: str | None = None
    control: bool = False
    weight: str = ""
    seeds: tuple[int, ...] = ()
    """Of the runs that failed or are not finished."""


@dataclass(frozen=True)
class Scores:
    """All of a sweep or a table. `seeded` is false where nothing says which seed a score is of;
    `resolution` is the smallest step by which a score can change, 0 where that is not known;
    `steps` has it by task. `scale` is what a perfect score is: 1, or 100 where scores are in
    percent; None where the metric has no such bound or is not known. `majority` is what always
    giving the commonest answer scores on test, where that is known. `margin` is the one that a
    table holds; `notes` are what its reader has to know of how it was read. `failed`: scores that a
    table holds of runs that failed, which are no results, but may be the worst seen."""

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

    def step(self, task: str) -> float:
        return dict(self.steps).get(task, self.resolution)

    @property
    def cells(self) -> tuple[CellName, ...]:
        """In order of first appearance."""
        return tuple(dict.fromkeys(s.cell for s in self.items))


def refuse_one_strategy(where: str, items: Iterable[Score]) -> None:
    """Raises UserError where there is nothing to compare."""
    names = {s.strategy for s in items if not s.control} - {NONE}
    if len(names) < 2:
        raise UserError(
            f"{where}: only {', '.join(names) or NONE} here; a verdict compares strategies, so add "
            "at least forward and one other"
        )
