"""A few real steps of a study's own student and teacher, timed on this device.

The batches are the study's own, spread over their sizes, so that their mean is that of a training.
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
from raykd.models.embedding_rows import tokens_in
from raykd.models.student import width
from raykd.planning.estimate.rates import Rates, TeacherRates, TimingRequest
from raykd.runtime.execution import Execution
from raykd.runtime.group import Group
from raykd.tasks.task import Data
from raykd.teachers.targets import LiveTeacher, Part
from raykd.training.angle_probe import Probe
from raykd.training.learner import Learner
from raykd.training.recorder import Silent
from raykd.training.trainer import CohortTrainer, trainable, use_bf16

SIZES = 5  # batches of an epoch, from short to long
SECONDS = 3.0  # of steps at least, in whole rounds over those batches
FEW, MANY = 8, 512  # rows by which evaluation is timed: many where that is a matter of seconds
PATIENCE = 10.0
NOISE = (0.9, 1.2)  # one minute of a device differs from the next by so much, whatever was seen


def student(order: TimingRequest, began: float, together: Callable[[], object]) -> Rates:
    """`began`: when this process did, by time.time; `together` waits until the neighbours, which
    do the same, have come as far."""
    torch.set_num_threads(order.threads)
    where, materials = _materials(order)
    data, trial, teacher = materials.data, order.trial, materials.teacher
    where = replace(where, bf16=use_bf16(trial, where.device, order.sources.home, width(teacher)))
    load = time.time() - began
    start = time.perf_counter()
    learner = _learner(trial, materials.build(trial), data, teacher, where)
    build = time.perf_counter() - start
    live = LiveTeacher(
        teacher, trial.teacher_states, data.family, where.autocast(),
        trial.training.teacher_dropout, hidden_loss(trial.loss.kind).padded,
    )  # fmt: skip
    batches = _batches(data, trial, order.workers)
    _step(learner, data, batches[-1], where, live)  # the first is slower, and the largest tells
    together()
    rounds = list(_rounds(lambda rows: _step(learner, data, rows, where, live), batches))
    live.close()
    step = statistics.fmean(own for _, own in rounds)
    ratios = [own / step for _, own in rounds]
    look = 0.0
    if order.sources.angles is not None:
        start = time.perf_counter()
        Probe(teacher, data, order.sources.angles, where, materials.build)([learner], 1, Silent())
        look = time.perf_counter() - start
    passes = statistics.fmean(theirs for theirs, _ in rounds)
    evaluate = _evaluation(learner.model, data, where)
    low, high = min(NOISE[0], *ratios), max(NOISE[1], *ratios)
    return Rates(load, build, step, passes, evaluate, look, low, high, measured=True)


def teacher(order: TimingRequest, began: float) -> TeacherRates:
    """Fine-tuning by the order's trial, of the model that its sources name."""
    torch.set_num_threads(order.threads)
    where, materials = _materials(order)
    data, trial, model = materials.data, order.trial, materials.teacher
    where = replace(where, bf16=use_bf16(trial, where.device, order.sources.home, width(model)))
    load = time.time() - began
    learner = _learner(trial, trainable(model, trial, where), data, model, where)
    batches = _batches(data, trial, 1)
    _step(learner, data, batches[-1], where, None)
    rounds = list(_rounds(lambda rows: _step(learner, data, rows, where, None), batches))
    step = statistics.fmean(own for _, own in rounds)
    return TeacherRates(load, step, _evaluation(learner.model, data, where), True)


def _materials(order: TimingRequest) -> tuple[Execution, CohortTrainer]:
    where = Execution.of(order.execution, "cuda" if order.gpu else "cpu")
    return where, CohortTrainer.load(order.sources, where, order.fine_tuned)


def _learner(
    trial: TrialSpec, model: PreTrainedModel, data: Data, teacher: PreTrainedModel, where: Execution
) -> Learner:
    return Learner(
        trial, model, data.family, width(teacher), Group(), where.device, where.autocast(),
        where.compile, tokens_in(data.train.input_ids, data.pad),
    )  # fmt: skip


def _batches(data: Data, trial: TrialSpec, workers: int) -> list[np.ndarray]:
    """A worker's share of a few batches of an epoch: those in the middle of as many equal parts of
    all, by their padded size."""
    lengths, t = data.train.lengths, trial.training
    known = epoch(lengths, t.batch, 0, 0, t.batch_tokens)
    known.sort(key=lambda rows: float(lengths[rows].max()) * len(rows))
    count = min(SIZES, len(known))
    return [shard(known[int((i + 0.5) * len(known) / count)], 0, workers) for i in range(count)]


def _step(
    learner: Learner, data: Data, rows: np.ndarray, where: Execution, live: LiveTeacher | None
) -> tuple[float, float]:
    """Seconds of the teacher's pass, and of the student's step."""
    size = where.micro_batch or len(rows)
    cuts = [rows[i : i + size] for i in range(0, len(rows), size)]
    batches = [data.family.collate(data.train, cut, data.pad, rows) for cut in cuts]
    start = _now(where)
    parts: list[Part] = []
    for batch in batches:
        there = batch.to(where.device)
        parts.append((there, live(there) if live else None))
    told = _now(where)
    for i, (batch, targets) in enumerate(parts):
        learner.backward(batch, targets, 0, i, len(parts))
    learner.update(0)
    return told - start, _now(where) - told


def _rounds(
    step: Callable[[np.ndarray], tuple[float, float]], batches: list[np.ndarray]
) -> Iterator[tuple[float, float]]:
    """The mean over the batches, a round each, until enough time has gone."""
    began = time.perf_counter()
    while True:
        times = [step(rows) for rows in batches]
        yield statistics.fmean(t for t, _ in times), statistics.fmean(s for _, s in times)
        if time.perf_counter() - began > SECONDS:
            return


def _evaluation(model: PreTrainedModel, data: Data, where: Execution) -> float:
    """Seconds a row, of as many as a split has: sorted by length, few are padded more."""
    took = 0.0
    for count in (FEW, FEW, MANY):  # the first is slower, in bf16 on a CPU many times
        if took * count > PATIENCE:
            break
        some, rows = _first(data.select, count)
        start = _now(where)
        data.family.evaluate(model, some, data, where)
        took = (_now(where) - start) / rows
    return took


def _first(encoded: Encoded, count: int) -> tuple[Encoded, int]:
    """The first examples of a split, and how many that are."""
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


def _now(where: Execution) -> float:
    if where.device.type == "cuda":
        torch.cuda.synchronize(where.device)
    return time.perf_counter()
