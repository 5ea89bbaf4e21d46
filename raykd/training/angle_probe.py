"""Measures the angles: runs the teacher, students and untrained students over some select rows.

It takes two passes, because centring subtracts mean states over the tokens: the first pass sums
the states, the second updates the statistics of angles/statistics.py. No state outlives its batch.
The probe changes neither the global random streams nor a student's weights, so it has no effect on
training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from raykd.config.trial import TrialSpec
from raykd.data.batches import Batch, eval_batches, valid
from raykd.losses.hidden.registry import hidden_loss
from raykd.maps.activations import state
from raykd.models.capture import ActivationCapture, stacks
from raykd.models.projections import build_projections, project
from raykd.models.student import width
from raykd.runtime.execution import Execution
from raykd.runtime.seeds import stream
from raykd.tasks.task import Data, Task
from raykd.teachers.targets import LiveTeacher
from raykd.training.angles.statistics import Angles, merged
from raykd.training.angles.values import Measured
from raykd.training.recorder import Recorder

BATCH = 32  # rows at a time
ROWS = 256


class Student(Protocol):
    """The interface of a student that can be probed; a `Learner` has it."""

    @property
    def trial(self) -> TrialSpec: ...
    @property
    def model(self) -> PreTrainedModel: ...
    @property
    def projections(self) -> nn.ModuleDict: ...


@dataclass(frozen=True)
class Stored:
    """A student whose training has finished."""

    trial: TrialSpec
    model: PreTrainedModel
    projections: nn.ModuleDict


class Probe:
    """Measures angles of students of one teacher, always over the same `rows` rows, evenly spaced
    in the select split. In a group, every worker calls it and processes its share of the rows."""

    def __init__(
        self,
        teacher: PreTrainedModel,
        data: Data,
        rows: int,
        where: Execution,
        build: Callable[[TrialSpec], PreTrainedModel],
    ) -> None:
        self._teacher, self._data, self._where, self._build = teacher, data, where, build
        encoded, group = data.select, where.group
        count = min(rows, len(encoded.ids))
        chosen = np.linspace(0, len(encoded.ids) - 1, count).round().astype(np.int64)
        parts = eval_batches(encoded.lengths[chosen], BATCH)
        self.rows = count
        self._batches = [chosen[part] for part in parts[group.rank :: group.world]]
        self._depth, self._width = len(stacks(teacher)["encoder"]), width(teacher)
        self._teacher_mean: Tensor | None = None

    def __call__(self, students: Sequence[Student], step: int, recorder: Recorder) -> None:
        """Measure students in training and pass the results to the recorder."""
        for student, measured in zip(
            students, self.measure(students, [step] * len(students)), strict=True
        ):
            if measured is not None:
                recorder.angles(student.trial, measured)
                recorder.log(student.trial, step, measured.metrics())

    @torch.no_grad()
    def measure(
        self,
        students: Sequence[Student],
        steps: Sequence[int],
        when: Literal["training", "stored"] = "training",
    ) -> list[Measured | None]:
        """Return one measurement per student, at its step. It is None for a student without a block
        in the teacher's width: one of another width without hidden pairs or stored projections."""
        subjects = [
            _Subject(s, self._width, self._data.family, self._where, self._build) for s in students
        ]
        try:
            self._means(subjects)
            self._angles(subjects)
        finally:
            for subject in subjects:
                subject.close()
        return [
            self._measured(subject, step, when)
            for subject, step in zip(subjects, steps, strict=True)
        ]

    def _means(self, subjects: Sequence[_Subject]) -> None:
        with_teacher = self._teacher_mean is None
        total = torch.zeros(self._depth, self._width, dtype=torch.float64)
        for batch, _, t_NLD in self._passes(teacher=with_teacher):
            if t_NLD is not None:
                total += t_NLD.sum(0, dtype=torch.float64).cpu()
            for subject in subjects:
                subject.add_mean(batch)
        tokens = sum(int(self._data.select.lengths[rows].sum()) for rows in self._batches)
        count = self._sum(torch.tensor(float(tokens), dtype=torch.float64))
        if with_teacher:
            self._teacher_mean = self._sum(total) / count
        assert self._teacher_mean is not None
        for subject in subjects:
            means = {block: self._sum(total) / count for block, total in subject.totals.items()}
            subject.angles = [
                Angles(block, _kind(subject.student.trial),
                       (self._teacher_mean - mean).float().to(self._where.device))
                for block, mean in means.items()
            ]  # fmt: skip

    def _angles(self, subjects: Sequence[_Subject]) -> None:
        for batch, lengths, t_NLD in self._passes(teacher=True):
            assert t_NLD is not None
            # Seeded by the batch alone, so the order of the batches does not matter.
            permutation = np.random.default_rng(len(t_NLD)).permutation(len(t_NLD))
            shuffled_NLD = t_NLD[torch.from_numpy(permutation).to(t_NLD.device)]
            for subject in subjects:
                s_ND, u_ND = subject.states(batch), subject.untrained_states(batch)
                for angles in subject.angles:
                    block = angles.student
                    angles.add(s_ND[block], u_ND[block], t_NLD, shuffled_NLD, lengths)

    def _passes(self, teacher: bool) -> Iterator[tuple[Batch, list[int], Tensor | None]]:
        """Yield this worker's batches, their rows' lengths, and the teacher's states x_NLD."""
        encoded, where = self._data.select, self._where
        states = [state(block) for block in range(1, self._depth + 1)]
        family = self._data.family
        live = LiveTeacher(self._teacher, states, family, where.autocast()) if teacher else None
        try:
            for rows in self._batches:
                lengths = encoded.lengths[rows].tolist()
                batch = family.collate(encoded, rows, self._data.pad).to(where.device)
                states_ND = live(batch).states_ND if live is not None else None
                yield (
                    batch,
                    lengths,
                    (torch.stack([states_ND[k].float() for k in states], 1) if states_ND else None),
                )
        finally:
            if live is not None:
                live.close()

    def _sum(self, total: Tensor) -> Tensor:
        """Return the sum over the workers, on the CPU."""
        return torch.stack([t for t in self._where.group.gather(total)]).sum(0)  # type: ignore[misc]

    def _measured(
        self, subject: _Subject, step: int, when: Literal["training", "stored"]
    ) -> Measured | None:
        workers: list[list[Angles]] = self._where.group.gather(subject.angles)  # type: ignore[assignment]
        blocks = tuple(merged(parts).block() for parts in zip(*workers, strict=True))
        if not blocks:
            return None
        kind = _kind(subject.student.trial)
        return Measured(step, when, self.rows, self._depth, self._width, kind, blocks)


def _kind(trial: TrialSpec) -> str:
    """Return the loss whose gradients are measured: the trial's own, or squared error if that loss
    reads more than one state, standardises by teacher block, or has options that the measurement
    does not know."""
    loss = hidden_loss(trial.loss.kind)
    known = loss.by_token and not loss.standardized and trial.loss.options is None
    return trial.loss.kind if known else "mse"


class _Subject:
    """A student and its untrained copy, in eval mode and with hooks on their blocks."""

    def __init__(
        self,
        student: Student,
        teacher_width: int,
        family: Task,
        where: Execution,
        build: Callable[[TrialSpec], PreTrainedModel],
    ) -> None:
        self.student, self._family, self._where = student, family, where
        trial, student_width = student.trial, width(student.model)
        self.blocks = [
            block
            for block in range(1, trial.shape.blocks + 1)
            if student_width == teacher_width or str(block) in student.projections
        ]
        self.totals = {
            block: torch.zeros(teacher_width, dtype=torch.float64) for block in self.blocks
        }
        self.angles: list[Angles] = []
        self._untrained = build(trial).eval().to(where.device)
        seed = stream(trial.seed, "projections")
        matched = [s for s, _ in trial.layer_map.pairs()]
        self._untrained_projections = build_projections(matched, student_width, teacher_width, seed)
        self._untrained_projections.to(where.device)
        self._was_training = student.model.training
        student.model.eval()
        self._capture = ActivationCapture(student.model, map(state, self.blocks))
        self._untrained_capture = ActivationCapture(self._untrained, map(state, self.blocks))

    def states(self, batch: Batch) -> dict[int, Tensor]:
        return self._run(self.student.model, self._capture, self.student.projections, batch)

    def untrained_states(self, batch: Batch) -> dict[int, Tensor]:
        return self._run(
            self._untrained, self._untrained_capture, self._untrained_projections, batch
        )

    def add_mean(self, batch: Batch) -> None:
        for block, x_ND in self.states(batch).items():
            self.totals[block] += x_ND.sum(0, dtype=torch.float64).cpu()

    def _run(
        self,
        model: PreTrainedModel,
        capture: ActivationCapture,
        projections: nn.ModuleDict,
        batch: Batch,
    ) -> dict[int, Tensor]:
        """Return the blocks' states at the valid tokens, in the teacher's width and in fp32."""
        if not self.blocks:
            return {}
        with self._where.autocast():
            self._family.forward(model, batch)
        states = {
            k.block: project(projections, k, valid(x_BTD, batch.valid)).float()
            for k, x_BTD in capture.values.items()
        }
        capture.clear()
        return states

    def close(self) -> None:
        self._capture.remove()
        self._untrained_capture.remove()
        self.student.model.train(self._was_training)
