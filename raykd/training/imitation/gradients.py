"""Do two targets push a student the same way? Cosines of parameter gradients, during training.

For a student block matched to teacher block i, the gradient of the block's parameters is taken
under the hidden loss to its own target, and under the same loss to another teacher block j: the
first and the last one. Their cosine says how far a step towards i is a step towards j, to first
order. Three points that have nothing to do with each other see each other at 60 degrees, so a
cosine of 0.5 needs no relation between the targets. The null is therefore measured: the gradient
under the loss to block j's states at other tokens, from the same student. These states have j's
mean and spread, and a student that has reached its target is as near to them as one that has not.

Every measurement uses the same select rows, in eval mode. It changes neither the global random
streams nor a weight, so it has no effect on training. Models of one stack only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from raykd.losses.hidden.statistics import Statistics
from raykd.maps.activations import Activation, state
from raykd.models.capture import stacks
from raykd.models.student import width
from raykd.teachers.targets import LiveTeacher
from raykd.training.imitation.cosines import Agreement, Blocks, GradientReader, TokenBatch
from raykd.training.imitation.lines import BATCH
from raykd.training.imitation.probe import SHARE, Student

if TYPE_CHECKING:
    from raykd.config.trial import Training, TrialSpec
    from raykd.runtime.execution import Execution
    from raykd.tasks.task import Data

TOKENS = 512  # of a measurement, where that is affordable
FEWEST = 128  # fewer tokens are taken only if one measurement of so many is not affordable
LEAST = 32  # of a training that can afford no measurement
OVERHEAD = 140  # tokens as dear as the vectors of gradients (benchmarks/probe_cost.md)
MOST = 8  # measurements of a training
OTHERS = 2  # other targets of a student block: the first and the last teacher block

COSINE, NULL = "gradient_cosine", "gradient_cosine_null"
COSINE_MEAN, NULL_MEAN = "gradient_cosine_mean", "gradient_cosine_null_mean"


@dataclass(frozen=True)
class Schedule:
    """Steps (1-based) at which students are measured, and about how many tokens each time."""

    steps: frozenset[int]
    tokens: int


def schedule(training: Training, data: Data) -> Schedule:
    """Return as many measurements as cost at most SHARE of a training, and at least one, on as few
    tokens as that takes, but LEAST.

    Each is in the middle of an equal part of the training, so that the mean over them is that over
    the training. At its end alone, a student that has reached its target would be pushed nowhere.
    """
    padded = training.batch_tokens or training.batch * float(data.train.lengths.mean())
    # In passes through a block, of which a training step takes three: one of the student, one for
    # its share in the teacher's pass, and two for each gradient.
    per_token = 2 + 2 * (1 + 2 * OTHERS)
    affordable = SHARE * 3 * training.steps * padded / per_token
    count = min(MOST, training.steps, max(1, int(affordable // (FEWEST + OVERHEAD))))
    steps = (max(1, round(training.steps * (i + 0.5) / count)) for i in range(count))
    tokens = int(affordable / count) - OVERHEAD
    return Schedule(frozenset(steps), max(LEAST, min(TOKENS, tokens)))


class GradientProbe:
    """Measures students of one teacher at their steps. In a group, every worker calls it and
    computes the gradients of its share of the rows."""

    def __init__(
        self, teacher: PreTrainedModel, data: Data, where: Execution,
        statistics: Statistics | None = None,
    ) -> None:  # fmt: skip
        """`statistics`: of the teacher's states, for hidden losses that standardise."""
        self._teacher, self._data, self._where = teacher, data, where
        self._statistics = statistics
        self._schedules: dict[Training, Schedule] = {}
        self._sums: dict[str, dict[str, list[float]]] = {}

    def __call__(
        self,
        students: Sequence[Student],
        step: int,
        log: Callable[[TrialSpec, int, Mapping[str, float]], None],
    ) -> None:
        """Measure the students of a cohort if they are due at this step, and log their metrics.

        `gradient_cosine/1_to_6` is the cosine for the parameters of student block 1 between its own
        target and teacher block 6, and `gradient_cosine_null/1_to_6` that with block 6 at other
        tokens. `gradient_cosine_mean/1_to_6` and `gradient_cosine_null_mean/1_to_6` are means over
        the measurements so far, so that the last ones are those of the training.
        """
        if not students or step not in self._schedule(students[0].trial.training).steps:
            return
        for student, agreements in zip(students, self.measure(students, step), strict=True):
            metrics: dict[str, float] = {}
            sums = self._sums.setdefault(student.trial.id, {})
            for pair, measured in agreements.items():
                metrics[f"{COSINE}/{pair}"], metrics[f"{NULL}/{pair}"] = measured[:2]
                added = (measured.weight, measured.weight * measured.cosine,
                         measured.weight * measured.null)  # fmt: skip
                sums[pair] = [a + b for a, b in zip(sums.get(pair, [0.0] * 3), added, strict=True)]
                weight, cosine, null = sums[pair]
                metrics[f"{COSINE_MEAN}/{pair}"] = cosine / weight
                metrics[f"{NULL_MEAN}/{pair}"] = null / weight
            if metrics:
                log(student.trial, step, metrics)

    def state(self) -> dict[str, Any]:
        """Return what a resume needs: the sums over the measurements so far, by trial and pair."""
        return {trial: dict(sums) for trial, sums in self._sums.items()}

    def load(self, state: Mapping[str, Any]) -> None:
        self._sums = {
            trial: {pair: list(values) for pair, values in sums.items()}
            for trial, sums in state.items()
        }

    def _schedule(self, training: Training) -> Schedule:
        if training not in self._schedules:
            self._schedules[training] = schedule(training, self._data)
        return self._schedules[training]

    def measure(self, students: Sequence[Student], step: int = 1) -> list[dict[str, Agreement]]:
        """Return the cosines of students of one cohort after `step` steps, by pair: `1_to_6` for
        the parameters of student block 1 and the target teacher block 6. Empty for students
        without own targets: of `none`, controls, whose targets are not the teacher's states, and
        students whose hidden loss has no weight at this step."""
        compared = [self._compared(student, step) for student in students]
        read = {t for blocks in compared for own, rest in blocks.values() for t in (*own, *rest)}
        if not read:
            return [{} for _ in students]
        rows = self._rows(self._schedule(students[0].trial.training).tokens)
        targets, share = self._teacher_states(read, rows), self._share(rows)
        # Compiled blocks would be compiled once more, for evaluation with gradients.
        eager = torch.compiler.set_stance("force_eager") if self._where.compile else nullcontext()
        with eager:
            return [
                GradientReader(student, blocks, self._data, self._where, self._statistics).cosines(
                    share, targets
                )
                for student, blocks in zip(students, compared, strict=True)
            ]

    def _compared(self, student: Student, step: int) -> Blocks:
        """Return the own and the other targets of each student block that has both."""
        trial, model = student.trial, student.model
        weights = trial.loss.weights(step - 1, trial.training.steps)
        if trial.targets != "teacher" or not weights.hidden:
            return {}
        others = (state(1), state(len(stacks(self._teacher)["encoder"])))
        projected = width(model) != width(self._teacher)
        own: dict[Activation, list[Activation]] = {}
        for s, t in weights.active(trial.layer_map.pairs()):
            # An embedding output has no block.
            if s.block and (not projected or s.number in student.projections):
                own.setdefault(s, []).append(t)
        blocks = {s: (ts, [t for t in others if t not in ts]) for s, ts in own.items()}
        return {s: (ts, rest) for s, (ts, rest) in blocks.items() if rest}

    def _rows(self, tokens: int) -> np.ndarray:
        """Return evenly spaced select rows with about so many tokens, and at least one."""
        lengths = self._data.select.lengths
        count = max(1, min(len(lengths), round(tokens / float(lengths.mean()))))
        return np.unique(np.linspace(0, len(lengths) - 1, count).round().astype(np.int64))

    def _batches(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        # Where memory allowed few rows at a time, no more are read here.
        size = min(BATCH, self._where.micro_batch or BATCH)
        yield from (rows[i : i + size] for i in range(0, len(rows), size))

    def _share(self, rows: np.ndarray) -> list[TokenBatch]:
        """Return this worker's rows in batches, with the places of their tokens."""
        group, lengths = self._where.group, self._data.select.lengths[rows]
        ends = np.cumsum(lengths)
        own = np.arange(len(rows))[group.rank :: group.world]
        result = []
        for part in self._batches(own):
            places = [np.arange(ends[i] - lengths[i], ends[i]) for i in part]
            result.append((rows[part], torch.from_numpy(np.concatenate(places))))
        return result

    def _teacher_states(
        self, read: set[Activation], rows: np.ndarray
    ) -> dict[Activation, tuple[Tensor, Tensor]]:
        """Return the teacher's states at the tokens of all rows, and the same in another order."""
        family, where = self._data.family, self._where
        live = LiveTeacher(self._teacher, sorted(read), family, where.autocast())
        parts: dict[Activation, list[Tensor]] = {t: [] for t in read}
        try:
            for part in self._batches(rows):
                batch = family.collate(self._data.select, part, self._data.pad).to(where.device)
                for t, x_ND in live(batch).states_ND.items():
                    parts[t].append(x_ND.float())
        finally:
            live.close()
        states = {t: torch.cat(values) for t, values in parts.items()}
        count = len(next(iter(states.values())))
        # Seeded by the number of tokens: the same for every student, block and measurement.
        order = torch.from_numpy(np.random.default_rng(count).permutation(count)).to(where.device)
        return {t: (x_ND, x_ND[order]) for t, x_ND in states.items()}
