"""Distils a caller's own teacher into their own student, over their own batches.

The step is that of a sweep (step.py): the same losses, gradients and update. Nothing is stored,
searched or evaluated.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from raykd.config.trial import TrialSpec
from raykd.data.batches import prefetch
from raykd.losses.hidden.registry import hidden_loss
from raykd.losses.hidden.statistics import Statistics
from raykd.maps.layer_map import LayerMap
from raykd.models.student import width
from raykd.runtime.execution import Execution
from raykd.runtime.execution_settings import Precision
from raykd.tasks.own_batches import BatchReader
from raykd.tasks.registry import task as task_of
from raykd.teachers.own_rows import OwnRows, own_filler, stored_outputs
from raykd.teachers.state_statistics import state_statistics
from raykd.teachers.targets import LiveTeacher, Part, TeacherSource
from raykd.training.learner import Learner, moved
from raykd.training.own.models import (
    check_map,
    check_models,
    evaluating,
    loss_of,
    map_of,
    scheduled,
    training_of,
    trial_of,
)
from raykd.training.own.stream import Batches, Item, Stream, number_of_steps
from raykd.training.recorder import note_on_skipped
from raykd.training.step import optimize, with_targets

Losses = Mapping[str, float]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Distilled:
    """A trained student, and its losses.

    `losses` holds, at every reported step (1-based), the means since the report before: `loss`,
    its terms `ce`, `kl` and `hidden` without their weights, and one term for each matched pair,
    such as `hidden_1_to_4`. While a schedule switches the hidden loss or a pair off, its term is
    left out. Cross entropy and KL are in nats. A mixture of experts also has
    `router`, its class's own auxiliary loss, which counts with the coefficient of its
    configuration.
    """

    student: PreTrainedModel
    losses: Mapping[int, Losses]


def distill(
    teacher: PreTrainedModel,
    student: PreTrainedModel,
    batches: Batches,
    layer_map: LayerMap | Sequence[object],
    *,
    steps: int | None = None,
    epochs: int | None = None,
    kind: str = "normalized_mse",
    options: Mapping[str, float] | None = None,
    ce: float | None = None,
    kl: float = 1.0,
    hidden: float = 1.0,
    temperature: float = 1.0,
    schedule: Sequence[Mapping[str, Any]] | None = None,
    lr: float = 1e-4,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    clip: float = 1.0,
    seed: int = 0,
    device: str | torch.device | None = None,
    precision: Precision = "fp32",
    cache: bool | str | Path | None = None,
    every: int = 50,
    callback: Callable[[int, Losses], None] | None = None,
) -> Distilled:
    """Train `student` in place to imitate `teacher`, and return it in eval mode with its losses.

    Both are transformers models for sequence classification, causal language modelling or
    sequence to sequence, of one kind. They must share their tokenizer, which raykd cannot see.
    The teacher is frozen meanwhile and left as it was, apart from its device.

    `batches` yields dicts of tensors: `input_ids` and `attention_mask` [B, T], and `labels` as
    transformers has them: [B] classes, [B, T] tokens, or [B, U] target tokens, with -100 at
    positions without a loss. Positions of padding have none. Without labels (not for sequence to
    sequence) KL and hidden loss are learned alone, over all tokens. Give `epochs` for batches that
    have a length and can be read again, such as a DataLoader, or `steps` for any iterable; it is
    read again where it ends and can be. There is one optimiser step (AdamW) for each batch, with a
    rate that rises over the share `warmup` of the steps and then decays to zero.

    `layer_map` states the teacher block (1-based) of each student block: `[4, 8, 12]`, or
    `raykd.strategy(...)`. The loss is ce * cross entropy + kl * KL(teacher || student) at
    `temperature` + hidden * hidden loss. `kind` is one of `raykd.hidden_losses()`, with its
    `options`. By default `ce` is 1, and 0 without labels. States of another width are projected by
    linear maps that are trained and then dropped.

    `schedule` states weights that change during the training: stages as in `losses.schedule` of a
    sweep file, such as [{"until": 0.5, "ce": 0, "kl": 0}, {"until": 1, "hidden": 0}].

    `device` is by default that of the student; `precision` bf16 and fp16 are autocast, fp16 with
    loss scaling. `cache`: teacher outputs are computed once for each distinct row, and stored in
    this folder, where a later call finds them, or with True in a temporary one. That takes a pass
    over the batches first. `callback` gets the step and the mean losses at every `every`-th step
    and the last.

    Raises ValueError or UserError for what does not fit, and FloatingPointError if the loss is no
    longer finite.
    """
    layer_map, steps = map_of(layer_map), number_of_steps(batches, steps, epochs)
    dtypes = {p.dtype for p in student.parameters() if p.requires_grad}
    if precision == "fp16" and dtypes - {torch.float32}:
        raise ValueError("precision: fp16 is for a student in float32; load it in float32")
    training = training_of(steps, lr, warmup, weight_decay, clip, precision)
    if every < 1:
        raise ValueError(f"every: {every}; write a number of steps from 1 on")
    loss = loss_of(kind, options, 1.0 if ce is None else ce, kl, hidden, temperature)
    matched = bool(layer_map.pairs())
    most = scheduled(loss, schedule, matched, True, steps)
    task = check_models(teacher, student, most.kl)
    check_map(teacher, student, layer_map, kind)
    if cache and most.hidden and hidden_loss(kind).padded:
        raise ValueError(f"cache: {kind} looks at padding, which is not stored")
    kinds = sorted({kind, *layer_map.pair_losses})
    standardized = [name for name in kinds if hidden_loss(name).standardized]
    if not cache and most.hidden and standardized:
        raise ValueError(
            f"kind: {standardized[0]} needs the teacher's statistics over the rows before the "
            "first step; write cache=True, which reads the rows first"
        )
    reader = BatchReader.of(task, teacher, student)
    pad = getattr(teacher.config, "pad_token_id", None) or 0
    rows = OwnRows(reader, pad) if cache else None
    stream = Stream(batches, reader, steps, rows)
    if not stream.labelled:
        if ce:
            raise ValueError(f"ce: {ce:g}, and the batches have no labels; leave ce out")
        loss = loss_of(kind, options, 0.0, kl, hidden, temperature)
    loss = scheduled(loss, schedule, matched, stream.labelled, steps)
    trial = trial_of(task, student, layer_map, loss, training, seed)
    at = torch.device(student.device if device is None else device)
    where = Execution(at, precision=precision)
    with ExitStack() as stack:
        stack.enter_context(evaluating(teacher))
        moved(teacher, at).requires_grad_(False)
        source = _source(teacher, trial, where, rows, cache, stack)
        learner = Learner(
            trial, student, task_of(task), width(teacher), where,
            statistics=_statistics(teacher, trial, where, rows),
        )  # fmt: skip
        stack.callback(learner.taps.remove)
        losses = _train(learner, source, stream, where, every, callback)
    return Distilled(student.eval(), losses)


def _source(
    teacher: PreTrainedModel, trial: TrialSpec, where: Execution, rows: OwnRows | None,
    cache: bool | str | Path | None, stack: ExitStack,
) -> TeacherSource | None:  # fmt: skip
    """Where targets come from; None if the student imitates nothing. `stack` cleans up after it."""
    loss, family = trial.loss, task_of(trial.task)
    states = trial.teacher_states if loss.hidden else frozenset()
    if not loss.kl and not states:
        return None
    if rows is None:
        padded = hidden_loss(loss.kind).padded
        live = LiveTeacher(teacher, states, family, where.autocast(), padded=padded)
        stack.callback(live.close)
        return live
    root = cache
    if isinstance(root, bool) or root is None:
        root = stack.enter_context(tempfile.TemporaryDirectory(prefix="raykd-teacher-"))
    return stored_outputs(own_filler(teacher, family, rows, where), states, Path(root), where)


def _statistics(
    teacher: PreTrainedModel, trial: TrialSpec, where: Execution, rows: OwnRows | None
) -> Statistics | None:
    """Those of the teacher's states, if a hidden loss standardises."""
    standardized = any(hidden_loss(kind).standardized for kind in trial.hidden_kinds)
    if rows is None or not trial.loss.hidden or not standardized:
        return None
    return state_statistics(own_filler(teacher, task_of(trial.task), rows, where))


def _train(
    learner: Learner, source: TeacherSource | None, stream: Stream, where: Execution, every: int,
    callback: Callable[[int, Losses], None] | None,
) -> dict[int, Losses]:  # fmt: skip
    trial, losses = learner.trial, dict[int, Losses]()

    def prepare(item: Item) -> Part:
        batch = stream.batch(item)
        return batch.pinned(where.device), None if source is None else source.prefetch(batch)

    for step, part in enumerate(prefetch(stream, prepare)):
        with torch.random.fork_rng(_gpus(where.device)):
            targets = with_targets(source, [part], where, trial.seed, step)
            optimize([learner], {"teacher": targets}, step, where)
        done = step + 1
        if done % every and done != stream.steps:
            continue
        means = learner.mean_losses()
        if not stream.labelled:
            del means["ce"]
        if not abs(means["loss"]) < float("inf"):
            raise FloatingPointError(f"the loss is {means['loss']} at step {done}; lower lr")
        losses[done] = means
        if callback is not None:
            callback(done, means)
            learner.taps.clear()  # of what the callback asked the student
    if note := note_on_skipped(learner.skipped_steps, learner.steps):
        logger.warning(note)
    return losses


def _gpus(device: torch.device) -> list[int]:
    """The GPU whose random state training changes."""
    if device.type != "cuda":
        return []
    return [torch.cuda.current_device() if device.index is None else device.index]
