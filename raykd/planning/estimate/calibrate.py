"""Times a few real steps of student and teacher of a study on this device.

The batches come from the study and are spread over its batch sizes, so their mean is that of a
training.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from transformers import PreTrainedModel

from raykd.config.trial import TrialSpec
from raykd.data.batches import order as epoch
from raykd.data.batches import shard
from raykd.data.encoded import Encoded
from raykd.losses.hidden.registry import hidden_loss
from raykd.losses.hidden.statistics import unit_statistics
from raykd.models.embedding_rows import tokens_in
from raykd.models.student import width
from raykd.planning.estimate.rates import Rates, TeacherRates, TimingRequest
from raykd.runtime.execution import Execution
from raykd.runtime.precision import tf32
from raykd.tasks.task import Data
from raykd.teachers.targets import LiveTeacher, Part
from raykd.training.angle_probe import Probe
from raykd.training.learner import Learner
from raykd.training.recorder import Silent
from raykd.training.trainer import CohortTrainer, in_precision, trainable

SIZES = 5  # batches of an epoch, from short to long
SECONDS = 3.0  # minimum time of steps, in whole rounds over those batches
FEW, MANY = 8, 512  # rows of a timed evaluation: many if that takes seconds only
PATIENCE = 10.0
NOISE = (0.9, 1.2)  # the speed of a device varies by at least so much over time


@tf32()
def student(request: TimingRequest, began: float, together: Callable[[], object]) -> Rates:
    """Return the rates of a student. `began`: start of this process, by time.time. `together` waits
    until the neighbours, which measure at the same time, have got this far."""
    torch.set_num_threads(request.threads)
    execution, materials = _materials(request)
    data, trial, teacher = materials.data, request.trial, materials.teacher
    execution = in_precision(trial, execution, request.sources.home, width(teacher))
    load = time.time() - began
    start = time.perf_counter()
    learner = _learner(trial, materials.build(trial), data, teacher, execution)
    build = time.perf_counter() - start
    live = LiveTeacher(
        teacher, trial.teacher_states, data.family, execution.autocast(),
        trial.training.teacher_dropout, hidden_loss(trial.loss.kind).padded,
    )  # fmt: skip
    batches = _batches(data, trial, request.workers)
    _step(learner, data, batches[-1], execution, live)  # warm-up, on the largest batch
    together()
    rounds = list(_rounds(lambda rows: _step(learner, data, rows, execution, live), batches))
    live.close()
    step = statistics.fmean(seconds for _, seconds in rounds)
    ratios = [seconds / step for _, seconds in rounds]
    look = 0.0
    if request.sources.angles is not None:
        start = time.perf_counter()
        probe = Probe(teacher, data, request.sources.angles, execution, materials.build)
        probe([learner], 1, Silent())
        look = time.perf_counter() - start
    passes = statistics.fmean(seconds for seconds, _ in rounds)
    evaluate = _evaluation(learner.model, data, execution)
    low, high = min(NOISE[0], *ratios), max(NOISE[1], *ratios)
    return Rates(load, build, step, passes, evaluate, look, low, high, measured=True)


@tf32()
def teacher(request: TimingRequest, began: float) -> TeacherRates:
    """Return the rates of fine-tuning the model that the sources name, by the request's trial."""
    torch.set_num_threads(request.threads)
    execution, materials = _materials(request)
    data, trial, model = materials.data, request.trial, materials.teacher
    execution = in_precision(trial, execution, request.sources.home, width(model))
    load = time.time() - began
    learner = _learner(trial, trainable(model, trial, execution), data, model, execution)
    batches = _batches(data, trial, 1)
    _step(learner, data, batches[-1], execution, None)
    rounds = list(_rounds(lambda rows: _step(learner, data, rows, execution, None), batches))
    step = statistics.fmean(seconds for _, seconds in rounds)
    return TeacherRates(load, step, _evaluation(learner.model, data, execution), True)


def _materials(request: TimingRequest) -> tuple[Execution, CohortTrainer]:
    execution = Execution.of(request.execution, "cuda" if request.gpu else "cpu")
    return execution, CohortTrainer.load(request.sources, execution, request.fine_tuned)


def _learner(
    trial: TrialSpec,
    model: PreTrainedModel,
    data: Data,
    teacher: PreTrainedModel,
    execution: Execution,
) -> Learner:
    return Learner(
        trial, model, data.family, width(teacher), execution,
        tokens_in(data.train.input_ids, data.pad),
        unit_statistics(trial.hidden_kinds, trial.imitated, width(teacher), execution.device),
    )  # fmt: skip


def _batches(data: Data, trial: TrialSpec, workers: int) -> list[np.ndarray]:
    """Return a worker's share of a few batches of an epoch. The batches of the epoch, sorted by
    padded size, are divided into equal parts; each part gives its middle batch."""
    lengths, training = data.train.lengths, trial.training
    batches = epoch(lengths, training.batch, 0, 0, training.batch_tokens)
    batches.sort(key=lambda rows: float(lengths[rows].max()) * len(rows))
    count = min(SIZES, len(batches))
    return [shard(batches[int((i + 0.5) * len(batches) / count)], 0, workers) for i in range(count)]


def _step(
    learner: Learner, data: Data, rows: np.ndarray, execution: Execution, live: LiveTeacher | None
) -> tuple[float, float]:
    """Return the seconds of the teacher's pass and of the student's step."""
    size = execution.micro_batch or len(rows)
    micro_batches = [rows[i : i + size] for i in range(0, len(rows), size)]
    batches = [data.family.collate(data.train, cut, data.pad, rows) for cut in micro_batches]
    start = _now(execution)
    parts: list[Part] = []
    for batch in batches:
        on_device = batch.to(execution.device)
        parts.append((on_device, live(on_device) if live else None))
    targets_ready = _now(execution)
    for i, (batch, targets) in enumerate(parts):
        learner.backward(batch, targets, 0, i, len(parts))
    learner.update(0)
    return targets_ready - start, _now(execution) - targets_ready


def _rounds(
    step: Callable[[np.ndarray], tuple[float, float]], batches: list[np.ndarray]
) -> Iterator[tuple[float, float]]:
    """Yield the mean times over the batches, one round at a time, until `SECONDS` have passed."""
    start = time.perf_counter()
    while True:
        times = [step(rows) for rows in batches]
        yield statistics.fmean(t for t, _ in times), statistics.fmean(s for _, s in times)
        if time.perf_counter() - start > SECONDS:
            return


def _evaluation(model: PreTrainedModel, data: Data, execution: Execution) -> float:
    """Return the seconds per row, over as many rows as `PATIENCE` allows. Few rows, sorted by
    length, are padded more."""
    row_seconds = 0.0
    for count in (FEW, FEW, MANY):  # the first is slower, in bf16 on a CPU many times slower
        if row_seconds * count > PATIENCE:
            break
        examples, rows = _first(data.select, count)
        start = _now(execution)
        data.family.evaluate(model, examples, data, execution)
        row_seconds = (_now(execution) - start) / rows
    return row_seconds


def _first(encoded: Encoded, count: int) -> tuple[Encoded, int]:
    """Return the first examples of a split, and their number."""
    count = min(count, len(encoded.examples))
    rows = count if encoded.groups is None else int(encoded.groups[count])
    last = int(encoded.offsets[rows])
    return replace(
        encoded,
        input_ids=encoded.input_ids[:last],
        offsets=encoded.offsets[: rows + 1],
        type_ids=None if encoded.type_ids is None else encoded.type_ids[:last],
        labels=None if encoded.labels is None else encoded.labels[:count],
        ids=encoded.ids[:rows],
        groups=None if encoded.groups is None else encoded.groups[: count + 1],
        chars=None if encoded.chars is None else encoded.chars[:rows],
    ), count


def _now(execution: Execution) -> float:
    if execution.device.type == "cuda":
        torch.cuda.synchronize(execution.device)
    return time.perf_counter()
