"""How much of the teacher's states the students reproduce on tokens that they are not trained on.

For a student state S and a teacher state T, both [N, D] over the N held-out tokens,

    R² = 1 - loss(S, T) / loss(c, T)

in the space of the trial's hidden loss (`HiddenLoss.space`), after the projection. The constant c
is the same vector for every token, the one with the smallest loss. R² is 1 for a perfect copy and 0
for a student that reproduces only the teacher's mean state. lines.py has the R² of a
lookup by token, which knows the token but not its context.

The probe runs the teacher and the students once over the same select rows, in eval mode and without
gradients. It changes neither the global random streams nor a weight, so it has no effect on
training. Models of one stack only: the select rows of encoder-decoders hold no tokenised targets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from raykd.data.batches import valid
from raykd.losses.hidden.registry import hidden_loss
from raykd.losses.hidden.statistics import Statistics
from raykd.maps.activations import Activation, state
from raykd.models.capture import ActivationCapture, stacks
from raykd.models.projections import project
from raykd.models.student import width
from raykd.teachers.targets import LiveTeacher
from raykd.training.imitation.lines import (
    BATCH,
    TOKENS,
    Lines,
    image,
    in_space,
    row_batches,
)

if TYPE_CHECKING:
    from raykd.config.trial import Training, TrialSpec
    from raykd.data.batches import Batch
    from raykd.runtime.execution import Execution
    from raykd.tasks.task import Data

SHARE = 0.02  # of the students' training that the measurements may cost

Names = tuple[Activation, Activation]


class Student(Protocol):
    """The interface of a student that can be measured; a `Learner` has it."""

    @property
    def trial(self) -> TrialSpec: ...
    @property
    def model(self) -> PreTrainedModel: ...
    @property
    def projections(self) -> nn.ModuleDict: ...


def measured_steps(training: Training, data: Data, evaluations: Collection[int]) -> frozenset[int]:
    """Return the steps at which students are measured: as many of the evaluations as cost at most
    SHARE of the training, evenly spaced, and always the last one."""
    padded = training.batch_tokens or training.batch * float(data.train.lengths.mean())
    held_out = min(TOKENS, int(data.select.lengths.sum()))
    # A training step computes about three forward passes; the teacher's pass adds to a student's.
    affordable = int(SHARE * 3 * training.steps * padded / (2 * held_out))
    every = -(-len(evaluations) // max(1, min(affordable, len(evaluations))))
    return frozenset(sorted(evaluations)[::-1][::every])


class ImitationProbe:
    """Measures students of one teacher, always over the same select rows. In a group, every worker
    calls it and processes its share of the rows.

    `lines` returns the losses of the constant and the lookup in the space of a hidden loss.
    `statistics`: of the teacher's states, for hidden losses that standardise.
    """

    def __init__(
        self,
        teacher: PreTrainedModel,
        data: Data,
        where: Execution,
        lines: Callable[[str], Lines],
        statistics: Statistics | None = None,
    ) -> None:
        self._teacher, self._data, self._where, self._lines = teacher, data, where, lines
        self._statistics = statistics
        # Where memory allowed few rows at a time, no more are evaluated here.
        batches = row_batches(data.select, TOKENS, min(BATCH, where.micro_batch or BATCH))
        self._batches = batches[where.group.rank :: where.group.world]

    @torch.no_grad()
    def measure(self, students: Sequence[Student]) -> list[dict[str, float]]:
        """Return the metrics of each student: `r2/1_to_4` for student state 1 and teacher state 4,
        for all pairs, and `r2_lookup/4`. A student of another width has those of its projected
        states."""
        teacher_width, family = width(self._teacher), self._data.family
        depth = len(stacks(self._teacher)["encoder"])
        subjects = [
            _Subject(student, depth, teacher_width, self._where, self._statistics)
            for student in students
        ]
        read = {t for subject in subjects for t in subject.teacher_states}
        live = LiveTeacher(self._teacher, read, family, self._where.autocast())
        try:
            for rows in self._batches:
                batch = family.collate(self._data.select, rows, self._data.pad)
                batch = batch.to(self._where.device)
                states_ND = live(batch).states_ND
                by_kind = {
                    kind: {
                        t: image(kind, x_ND, t, self._statistics) for t, x_ND in states_ND.items()
                    }
                    for kind in {subject.kind for subject in subjects}
                }
                for subject in subjects:
                    subject.add(batch, family.forward, by_kind[subject.kind])
        finally:
            live.close()
            for subject in subjects:
                subject.close()
        return [self._metrics(subject) for subject in subjects]

    def _metrics(self, subject: _Subject) -> dict[str, float]:
        shares: list[dict[Names, float]] = self._where.group.gather(subject.losses)  # type: ignore[assignment]
        if not any(shares):
            return {}
        lines, metrics = self._lines(subject.kind), dict[str, float]()
        for s, t in sorted(set().union(*shares)):
            loss = sum(share.get((s, t), 0.0) for share in shares)
            if (constant := lines.constant[t.number]) > 0:
                metrics[f"r2/{s.number}_to_{t.number}"] = 1 - loss / constant
                metrics[f"r2_lookup/{t.number}"] = 1 - lines.lookup[t.number] / constant
        return metrics


def measured_loss(kind: str) -> str:
    """The hidden loss in whose space a student is measured: its own, or squared error where a token
    has no loss of its own."""
    return kind if hidden_loss(kind).by_token else "mse"


class _Subject:
    """A student with hooks on its blocks, and its losses, summed over this worker's tokens."""

    def __init__(
        self, student: Student, teacher_depth: int, teacher_width: int, where: Execution,
        statistics: Statistics | None,
    ) -> None:  # fmt: skip
        # Those of the student alone: others of its cohort change no shape, and so no rounding.
        matched_targets = {t for _, t in student.trial.layer_map.pairs()}
        blocks_of_teacher = {state(block) for block in range(1, teacher_depth + 1)}
        self.teacher_states = sorted(blocks_of_teacher | matched_targets)
        self.kind = measured_loss(student.trial.loss.kind)
        self.losses: dict[Names, float] = {}
        self._student, self._where, self._statistics = student, where, statistics
        model, projections = student.model, student.projections
        blocks = {state(block) for block in range(1, len(stacks(model)["encoder"]) + 1)}
        matched = {s for s, _ in student.trial.layer_map.pairs()}
        self._states = sorted(
            blocks | matched
            if width(model) == teacher_width
            else {s for s in blocks | matched if s.number in projections}
        )
        self._was_training = model.training
        model.eval()
        self._capture = ActivationCapture(model, self._states)

    def add(
        self,
        batch: Batch,
        forward: Callable[[PreTrainedModel, Batch], object],
        teacher_ND: Mapping[Activation, Tensor],
    ) -> None:
        """Add the squared distances over a batch to the losses."""
        if not self._states:
            return
        with self._where.autocast():
            forward(self._student.model, batch)
        projections = self._student.projections
        student_ND = [
            project(projections, s, valid(self._capture.values[s], batch.valid))
            for s in self._states
        ]
        self._capture.clear()
        distances = self._distances(student_ND, [teacher_ND[t] for t in self.teacher_states])
        for s, row in zip(self._states, distances, strict=True):
            for t, distance in zip(self.teacher_states, row, strict=True):
                self.losses[s, t] = self.losses.get((s, t), 0.0) + distance

    def _distances(
        self, student_ND: Sequence[Tensor], teacher_ND: Sequence[Tensor]
    ) -> list[list[float]]:
        """Return the squared distances by student state and teacher state, whose images are in
        `teacher_ND`."""
        if not hidden_loss(self.kind).standardized:
            return squared_distances([in_space(self.kind, x_ND) for x_ND in student_ND], teacher_ND)
        by_teacher = []  # the image of a student state depends on the teacher state
        for t, target_ND in zip(self.teacher_states, teacher_ND, strict=True):
            images_ND = [image(self.kind, x_ND, t, self._statistics) for x_ND in student_ND]
            by_teacher.append([row[0] for row in squared_distances(images_ND, [target_ND])])
        return [list(row) for row in zip(*by_teacher, strict=True)]

    def close(self) -> None:
        self._capture.remove()
        self._student.model.train(self._was_training)


def squared_distances(
    student_ND: Sequence[Tensor], teacher_ND: Sequence[Tensor]
) -> list[list[float]]:
    """Return sum |s - t|² over tokens and features, for each student and each teacher state."""
    # |s - t|² = |s|² - 2 st + |t|²: one matrix product reads each state once for all pairs.
    student_SX = torch.stack([x_ND.flatten() for x_ND in student_ND])
    teacher_TX = torch.stack([x_ND.flatten() for x_ND in teacher_ND])
    squares_S, squares_T = (x.square().sum(1).double() for x in (student_SX, teacher_TX))
    products_ST = (student_SX @ teacher_TX.T).double()
    distances: list[list[float]] = (squares_S[:, None] - 2 * products_ST + squares_T).cpu().tolist()
    return distances
