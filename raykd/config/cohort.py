"""Cohorts of trials that train side by side, and jobs of cohorts that share their workers."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from raykd.config.trial import TrialSpec
from raykd.runtime.memo import digest


@dataclass(frozen=True)
class Cohort:
    """Trials that train side by side on the same batches, fed by one teacher pass."""

    trials: tuple[TrialSpec, ...]

    def __post_init__(self) -> None:
        if len({shared(t) for t in self.trials}) != 1:
            raise ValueError("the trials of a cohort share data, teacher, seed, steps and batch")

    @cached_property
    def id(self) -> str:
        return digest(sorted(t.id for t in self.trials))


Job = tuple[Cohort, ...]
"""Cohorts that one group of workers trains in sequence, so that starting the workers costs little
compared with the training."""


def packed(job: Job) -> str:
    """Return a job as compressed text: trials are similar, and Ray Tune keeps several copies of the
    text of every job during a launch."""
    text = json.dumps([[t.to_json() for t in cohort.trials] for cohort in job])
    return base64.b64encode(zlib.compress(text.encode())).decode()


def unpacked(text: str) -> Job:
    data = json.loads(zlib.decompress(base64.b64decode(text)))
    return tuple(Cohort(tuple(TrialSpec.from_json(t) for t in trials)) for trials in data)


def shared(trial: TrialSpec) -> tuple[object, ...]:
    """Return what the trials of one cohort share: the batches, their order and the teacher."""
    training = trial.training
    return (
        trial.task, trial.metric, trial.data, trial.teacher, trial.phase, trial.seed,
        training.steps, training.batch, training.batch_tokens, training.evaluations,
        training.teacher_dropout,
    )  # fmt: skip


def into_cohorts(trials: Iterable[TrialSpec], size: int) -> tuple[Cohort, ...]:
    """Group trials that share their batches, in order of first appearance, at most `size` each.

    Groups larger than `size` are split into parts of nearly equal size, so that the last cohort
    does not idle: eight trials at a size of five give 4 + 4.
    """
    groups: dict[tuple[object, ...], list[TrialSpec]] = {}
    for trial in trials:
        groups.setdefault(shared(trial), []).append(trial)
    cohorts = []
    for group in groups.values():
        parts = -(-len(group) // size)
        cuts = [round(i * len(group) / parts) for i in range(parts + 1)]
        cohorts += [Cohort(tuple(group[a:b])) for a, b in zip(cuts, cuts[1:], strict=False)]
    return tuple(cohorts)
