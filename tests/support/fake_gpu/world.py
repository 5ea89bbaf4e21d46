"""Students and their teacher on the simulated GPU, their steps and their evaluations."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily

from benchmarks.gpu import every_loss, world
from raykd.config.trial import TrialSpec
from raykd.data.batches import Batch
from raykd.losses.hidden.registry import hidden_loss
from raykd.losses.hidden.statistics import unit_statistics
from raykd.models.student import student_config, width
from raykd.runtime.execution import Execution
from raykd.runtime.execution_settings import Precision
from raykd.tasks import evaluation
from raykd.tasks.registry import task as task_of
from raykd.tasks.task import Data, Task
from raykd.teachers.controls import Controls, by_kind
from raykd.teachers.targets import LiveTeacher
from raykd.training import learner as learners
from raykd.training.learner import Learner
from raykd.training.step import optimize, with_targets

from .device import as_fake, emptied, placed, simulated, strict


def prepare() -> None:
    """What of raykd is replaced: how modules are moved, as fake tensors cannot be; and the transfer
    of an evaluation's answers to the host, at its end."""
    learners.moved = placed  # type: ignore[assignment]
    evaluation.on_host = lambda batches: [  # type: ignore[assignment]
        (rows, np.zeros(tuple(answers.shape))) for rows, answers in batches
    ]


def fake_batches(family: Task, mode: FakeTensorMode) -> Task:
    """The task, whose batches are fake tensors of the host. They are made outside, of real rows."""
    family, collate = copy.copy(family), family.collate

    def collated(*args: Any, **options: Any) -> Batch:
        with unset_fake_temporarily():
            batch = collate(*args, **options)
        return as_fake(batch, mode)

    family.collate = collated  # type: ignore[method-assign]
    return family


@dataclass
class Cohort:
    """Students of one teacher of one configuration; `parts`: micro batches of a worker's share."""

    config: Any
    specs: Sequence[TrialSpec]
    device: torch.device
    parts: int = 1
    used: bool = False
    """Whether the rows of the word embedding in use are trained alone."""
    dtype: torch.dtype = torch.float32
    precision: Precision = "fp32"
    family: Task = field(init=False)
    learners: list[Learner] = field(init=False)

    def __post_init__(self) -> None:
        first = self.specs[0]
        self.family = task_of(first.task)
        self.where = Execution(self.device, precision=self.precision)
        self.rows = every_loss.rows(first.task)
        with torch.device("meta"):
            self._teacher = self.family.auto.from_config(self.config).to(self.dtype)
            self._students = [
                self.family.auto.from_config(student_config(self.config, spec.shape)).to(self.dtype)
                for spec in self.specs
            ]

    def build(self) -> None:
        """Teacher and learners, inside `simulated`."""
        self.teacher = emptied(self._teacher, self.device)
        D = width(self.teacher)
        self.statistics = {
            state: values
            for spec in self.specs
            for state, values in unit_statistics(
                spec.hidden_kinds, spec.imitated, D, self.device
            ).items()
        }
        used = torch.arange(every_loss.VOCAB // 2) if self.used else None
        # The host knows the tokens in use, and reads them.
        with patch.object(FakeTensor, "numpy", lambda tokens: np.arange(len(tokens))):
            self.learners = [
                Learner(spec, emptied(student, self.device), self.family, D, self.where,
                        used, self.statistics)
                for spec, student in zip(self.specs, self._students, strict=True)
            ]  # fmt: skip

    def steps(self, mode: FakeTensorMode, count: int = 2) -> None:
        """Steps of all students, beginning with the first."""
        states = {state for spec in self.specs for state in spec.teacher_states}
        padded = any(hidden_loss(spec.loss.kind).padded for spec in self.specs)
        live = LiveTeacher(self.teacher, states, self.family, self.where.autocast(), padded=padded)
        controls = Controls(0, untrained=live, statistics=self.statistics)
        family, whole = fake_batches(self.family, mode), np.arange(len(self.rows.ids))
        for step in range(count):
            parts = [
                (family.collate(self.rows, mine, world.PAD, whole), None)
                for mine in np.array_split(whole, self.parts)
            ]
            with strict(mode):
                ready = with_targets(live, parts, self.where, 0, step)
                kinds = {spec.targets for spec in self.specs}
                optimize(self.learners, by_kind(kinds, ready, controls, step), step, self.where)
        live.close()

    def data(self, mode: FakeTensorMode) -> Data:
        """Splits of the same rows. Choices have one choice each."""
        rows, count = self.rows, len(self.rows.ids)
        if self.family.kind.name == "causal_lm":
            rows = replace(rows, groups=np.arange(count + 1), chars=np.ones(count))
        return Data(
            fake_batches(self.family, mode), rows, rows, rows, lambda: np.zeros(count), (),
            world.PAD, tokenizer=None, task=None, eval_batch=3,  # type: ignore[arg-type]
        )  # fmt: skip

    def evaluate(self, mode: FakeTensorMode) -> np.ndarray:
        data = self.data(mode)
        with strict(mode):
            return data.family.evaluate(self.learners[0].model, data.test, data, self.where)


def stepped(cohort: Cohort, count: int = 2) -> Cohort:
    with simulated() as mode:
        cohort.build()
        cohort.steps(mode, count)
    return cohort


def evaluated(cohort: Cohort) -> None:
    with simulated() as mode:
        cohort.build()
        cohort.evaluate(mode)
