"""Decides what to run after a job's workers have failed. Everything here is bounded.

There are four kinds of failure.

Lost workers (a node, a process, the network, a store) are started again from the newest checkpoint,
up to the file's `cluster.retries` times.

Preempted workers (a spot node that the cloud takes away with a notice) are started again without
counting, as long as the training gets on: a preemption counts as a loss only if no new checkpoint
was stored, and no trial ended, since the one before.

Out of memory halves the rows that a worker computes at a time. The global batch stays the same, and
so does the optimisation. This step is skipped for losses of the whole batch (HiddenLoss.divisible).

An own error of the training is retried once. Then the job is split: into its cohorts, and a cohort
into halves, until the trial that cannot be trained is alone. Only that one is given up.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from raykd.config.cohort import Cohort, Job
from raykd.config.trial import TrialSpec
from raykd.losses.hidden.registry import hidden_loss
from raykd.runtime.memo import digest

Kind = Literal["lost", "preempted", "memory", "own"]
STAYS_OPEN = ("lost", "preempted")
"""Kinds after which another launch may go on from the checkpoint."""


@dataclass(frozen=True)
class Failure:
    kind: Kind
    reason: str
    traceback: str = ""
    """Traceback in the worker."""


@dataclass(frozen=True)
class Part:
    """Cohorts that one group of workers trains one after another, and their failures so far."""

    job: Job
    micro_batch: int | None = None
    """Rows that a worker computes at a time; None: its whole share of the batch."""
    losses: int = 0
    """Number of losses since a trial of the part last ended."""
    over: int = 0
    """Number of its trials that had ended at the last failure."""
    preempted: str | None = None
    """Mark of its newest checkpoint at the last preemption; None before the first."""
    tried: bool = False
    """Whether it, or the part that it was split from, has had an own error."""

    @property
    def id(self) -> str:
        return digest([c.id for c in self.job])

    @property
    def trials(self) -> tuple[TrialSpec, ...]:
        return tuple(t for c in self.job for t in c.trials)


def after(
    part: Part, failure: Failure, retries: int, share: int, checkpoint: str = ""
) -> list[Part]:
    """Return the parts to run after this failure, in order; empty if the part is given up. `share`:
    rows of the batch that one worker has. `checkpoint`: mark of the newest one."""
    if failure.kind == "preempted" and part.preempted != checkpoint:
        return [replace(part, preempted=checkpoint)]
    if failure.kind in STAYS_OPEN:
        return [replace(part, losses=part.losses + 1)] if part.losses < retries else []
    rows = part.micro_batch or share
    divisible = all(hidden_loss(kind).divisible for t in part.trials for kind in t.hidden_kinds)
    if failure.kind == "memory" and rows > 1 and divisible:
        return [replace(part, micro_batch=-(-rows // 2))]
    if failure.kind == "own" and not part.tried:
        return [replace(part, tried=True)]
    return [replace(part, job=job, tried=True) for job in _taken_apart(part.job)]


def counted(part: Part, over: Collection[str]) -> Part:
    """Return the part with the number of its ended trials. Losses and preemptions are forgotten if
    trials have ended since the last failure: retries are counted per cohort. `over`: ids of the
    trials that have ended."""
    ended = sum(t.id in over for t in part.trials)
    return part if ended == part.over else replace(part, over=ended, losses=0, preempted=None)


def without(part: Part, over: Collection[str]) -> Part:
    """Return the part without the cohorts whose trials have all ended. `over`: ids of the ended
    trials."""
    return replace(part, job=tuple(c for c in part.job if any(t.id not in over for t in c.trials)))


def _taken_apart(job: Job) -> list[Job]:
    """Split a job into its cohorts, or a single cohort into halves; empty for a single trial."""
    if len(job) > 1:
        return [(cohort,) for cohort in job]
    trials = job[0].trials
    middle = len(trials) // 2
    if not middle:
        return []
    return [(Cohort(trials[:middle]),), (Cohort(trials[middle:]),)]
