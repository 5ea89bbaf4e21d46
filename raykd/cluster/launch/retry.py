"""What is tried after a job's workers have failed. Everything here is bounded.

A failure is of one of three kinds. Workers that were lost (a node, a process, the network, a store)
are started again, from the newest checkpoint, so often as the file's `cluster.retries` says. Memory
that did not suffice halves the rows that a worker computes at a time: the global batch stays, and
with it the optimisation. Where a loss is one of a whole
batch (HiddenLoss.divisible), that is passed over.
A fault of its own is tried once more, then the job is taken apart: into its cohorts, a cohort into
halves, until the trial that cannot be trained stands alone. That one is given up, and its
neighbours have theirs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from raykd.config.cohort import Cohort, Job
from raykd.config.trial import TrialSpec
from raykd.losses.hidden.registry import hidden_loss
from raykd.runtime.memo import digest

Kind = Literal["lost", "memory", "own"]


@dataclass(frozen=True)
class Failure:
    kind: Kind
    reason: str
    traceback: str = ""
    """Where in a worker it was raised."""


@dataclass(frozen=True)
class Part:
    """Cohorts that one group of workers trains one after another, and what befell them so far."""

    job: Job
    micro_batch: int | None = None
    """Rows that a worker computes at a time; None: its whole share of the batch."""
    losses: int = 0
    """Since a trial of it ended last."""
    over: int = 0
    """Trials of it that were over at the last failure."""
    tried: bool = False
    """Whether it has failed by itself already, or is of one that has."""

    @property
    def id(self) -> str:
        return digest([c.id for c in self.job])

    @property
    def trials(self) -> tuple[TrialSpec, ...]:
        return tuple(t for c in self.job for t in c.trials)


def after(part: Part, failure: Failure, retries: int, share: int) -> list[Part]:
    """What to run after this failure, in order; nothing: the part is given up. `share`: rows of
    the batch that a worker has."""
    if failure.kind == "lost":
        return [replace(part, losses=part.losses + 1)] if part.losses < retries else []
    rows = part.micro_batch or share
    divisible = all(hidden_loss(t.loss.kind).divisible for t in part.trials)
    if failure.kind == "memory" and rows > 1 and divisible:
        return [replace(part, micro_batch=-(-rows // 2))]
    if failure.kind == "own" and not part.tried:
        return [replace(part, tried=True)]
    return [replace(part, job=job, tried=True) for job in _taken_apart(part.job)]


def counted(part: Part, over: Collection[str]) -> Part:
    """The part, its losses forgotten where trials have ended since the last one: of a job of many
    cohorts, each may be struck so often. `over`: ids of the trials that are over."""
    ended = sum(t.id in over for t in part.trials)
    return part if ended == part.over else replace(part, over=ended, losses=0)


def without(part: Part, over: Collection[str]) -> Part:
    """The part without the cohorts whose trials are all over; `over`: ids of those that are."""
    return replace(part, job=tuple(c for c in part.job if any(t.id not in over for t in c.trials)))


def _taken_apart(job: Job) -> list[Job]:
    if len(job) > 1:
        return [(cohort,) for cohort in job]
    trials = job[0].trials
    middle = len(trials) // 2
    if not middle:
        return []
    return [(Cohort(trials[:middle]),), (Cohort(trials[middle:]),)]
