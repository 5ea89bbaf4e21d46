"""Measures the peak memory of a cohort by a training step on fake tensors.

Teacher, student, optimiser and step are those of a real training. They run under torch's fake
tensors, which have shapes and no content, and every storage counts as long as it lives. No model
class needs a formula. Not counted: memory inside operators, the context of a GPU, and Python with
its libraries.
"""

from __future__ import annotations

import weakref
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import PretrainedConfig, PreTrainedModel

from raykd.data.batches import Batch
from raykd.losses.chunked import log_likelihoods
from raykd.losses.hidden.registry import hidden_loss
from raykd.losses.hidden.statistics import unit_statistics
from raykd.models import quantization
from raykd.models.block_kinds import on_meta
from raykd.models.capture import stacks
from raykd.models.dtypes import cast
from raykd.models.loading import positions
from raykd.models.student import student_config, width
from raykd.planning.memory.footprint import Footprint, MemoryQuestion
from raykd.runtime.execution import Execution
from raykd.tasks.registry import task
from raykd.tasks.task import Data, Task
from raykd.teachers.targets import LiveTeacher, Targets
from raykd.training.dropout_replay import replays
from raykd.training.learner import Learner
from raykd.training.trainer import trainable

PER_BLOCK = 40  # values of a token that a block keeps for the backward pass, by its width


class Storages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that operators create in this mode, as long as they live."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and torch's guard costs as much as the counting

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self.noise: list[Tensor] | None = None
        """If a list, holds the noise of dropout from its draw on, as a cohort's step does."""
        self._live: set[int] = set()

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if operator is torch.ops.prim.device.default:  # creates nothing, and is most calls
            return args[0].fake_device
        fake = bool(args) and isinstance(args[0], FakeTensor)
        if fake and operator is torch.ops.aten._local_scalar_dense.default:
            return _no_content(args[0].dtype)
        if fake and operator is torch.ops.aten._grouped_mm.default:
            outputs = _grouped(*args, **(kwargs or {}))
        else:
            outputs = operator(*args, **(kwargs or {}))
        for tensor in tree_leaves(outputs):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        if self.noise is not None and operator is torch.ops.aten.bernoulli_.float:
            self.noise.append(outputs)
        return outputs

    def _count(self, storage: torch.UntypedStorage) -> None:
        name, size = storage._cdata, storage.nbytes()
        if name not in self._live:  # a view shares the storage of its base
            self._live.add(name)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._free, name, size)

    def _free(self, name: int, size: int) -> None:
        self._live.discard(name)
        self.now -= size

    def above(self, held: int) -> int:
        """Return the peak since the last call, without the `held` bytes, and reset the peak."""
        peak, self.peak = self.peak - held, self.now
        return peak


def _no_content(dtype: torch.dtype) -> bool | int | float:
    """The number that a class reads from a tensor on the host. Classes ask there whether a mask can
    be left out, and `False` keeps it."""
    if dtype == torch.bool:
        return False
    return 0.0 if dtype.is_floating_point else 0


def _grouped(a: Tensor, b: Tensor, offs: Tensor, *_: Any, **__: Any) -> Tensor:
    """The output of a matrix product of each group, as mixtures of experts compute it. The fake of
    torch's own takes bf16 alone."""
    groups = (
        (len(offs),) if a.ndim == b.ndim == 2 else a.shape[:-2] if a.ndim == 3 == b.ndim else ()
    )
    return a.new_empty((*groups, a.shape[-2], b.shape[-1]))


def measure(teacher: PretrainedConfig, question: MemoryQuestion) -> Footprint:
    """Return the footprint of a worker that trains students of a teacher of this configuration."""
    trial, device = question.trial, torch.device("cpu")
    family, training, loss = task(trial.task), trial.training, trial.loss
    # Without a schedule every term has its largest weight: the step that takes the most memory.
    loss = replace(loss, kind=hidden_loss(loss.kind).stand_in or loss.kind, schedule=None)
    trial = replace(trial, loss=loss)
    question = replace(question, trial=trial)
    execution = Execution(
        device,
        precision="bf16" if question.bf16 else "fp32",
        gradient_checkpointing=question.gradient_checkpointing,
    )
    longest = min(question.tokens, positions(teacher) or question.tokens)
    storages = Storages()
    with torch.device("meta"):  # a model here can still change precision and get adapters
        meta_teacher = cast(family.auto.from_config(teacher), training.weights, training.buffers)
        student = family.auto.from_config(student_config(teacher, trial.shape))
        student = trainable(student, trial, execution)
    with FakeTensorMode(allow_non_fake_inputs=True), storages:
        model = _on_cpu(meta_teacher)
        held = storages.now
        learner = Learner(
            trial, _on_cpu(student), family, width(model), execution,
            statistics=unit_statistics(trial.hidden_kinds, trial.imitated, width(model)),
        )  # fmt: skip
        _create_lasting_state(learner, best=not question.gpu)
        resting = storages.now
        storages.above(0)
        # Students that follow replay it (training/dropout_replay.py).
        storages.noise = [] if not question.gpu and replays(execution) else None
        targets = _step(
            learner, model, question, _batch(family, question, question.rows, longest), execution
        )
        step = storages.above(resting)
        storages.noise = None
        gradients = sum(p.numel() * p.element_size() for p in learner.parameters)
        del targets
        learner.update(1)
        resting = storages.now
        storages.above(0)
        if question.writes is None:
            _evaluate(
                learner, family, _batch(family, question, Data.eval_batch, longest), execution
            )
            evaluation = storages.above(resting)
        else:
            evaluation = _generation_peak(
                learner.model, question, longest, execution, storages, resting
            )
    return Footprint(
        teacher=held - quantization.saved(model, question.bits),
        student=resting - held,
        step=step + quantization.scratch(model, question.bits),
        gradients=gradients,
        evaluation=evaluation,
    )


def estimate(teacher: PretrainedConfig, question: MemoryQuestion) -> Footprint:
    """Return a rough footprint of models that cannot run on fake tensors, by their sizes."""
    family, config = task(question.trial.task), student_config(teacher, question.trial.shape)
    weights, blocks = list[int](), list[int]()
    for model_config in (teacher, config):
        model = on_meta(model_config, family.auto)
        weights.append(sum(p.numel() * p.element_size() for p in model.parameters()))
        blocks.append(sum(len(stack) for stack in stacks(model).values()))
    logits = 2 * config.vocab_size if family.kind.token_positions else 0
    kept = 4 * question.tokens * (PER_BLOCK * config.hidden_size * blocks[1] + logits)
    passing = 4 * question.tokens * (PER_BLOCK * config.hidden_size + logits)
    return Footprint(
        teacher=weights[0], student=4 * weights[1], step=weights[1] + question.rows * kept,
        gradients=weights[1], evaluation=Data.eval_batch * passing,
    )  # fmt: skip


def _on_cpu(model: PreTrainedModel) -> PreTrainedModel:
    """Move a model from the meta device to the CPU and tie its weights again."""
    model.to_empty(device="cpu")
    model.tie_weights()
    return model


def _create_lasting_state(learner: Learner, best: bool) -> None:
    """Create what stays in memory after the first step: the optimiser's moments and, if `best`, the
    best weights so far, which are in the memory of the host."""
    for parameter in learner.parameters:
        parameter.grad = torch.zeros_like(parameter)
    learner.update(0)
    if best:
        learner.keep_best(0.0, 0)


def _step(
    learner: Learner,
    teacher: PreTrainedModel,
    question: MemoryQuestion,
    batch: Batch,
    execution: Execution,
) -> Targets:
    padded = hidden_loss(learner.trial.loss.kind).padded
    live = LiveTeacher(
        teacher, question.states, learner.family, execution.autocast(), padded=padded
    )
    targets = live(batch)
    learner.backward(batch, targets, 1)
    live.close()
    return targets


@torch.no_grad()
def _evaluate(learner: Learner, family: Task, batch: Batch, execution: Execution) -> None:
    learner.model.eval()
    with execution.autocast():
        outputs = family.forward(learner.model, batch)
        if outputs.head is not None:
            assert batch.labels is not None
            log_likelihoods(outputs, batch.labels)


@torch.no_grad()
def _generation_peak(
    model: Any,
    question: MemoryQuestion,
    longest: int,
    execution: Execution,
    storages: Storages,
    resting: int,
) -> int:
    """Return the peak of a batch of generated texts.

    It is reached while the model reads the prompts, or at the last token, with a cache of all
    tokens before it. Filling the cache in one pass is not counted.
    """
    assert question.writes is not None
    prompt_BT = torch.zeros(Data.eval_batch, longest, dtype=torch.int64)
    text_BT = torch.zeros(Data.eval_batch * question.beams, question.writes, dtype=torch.int64)
    next_B1, decode, cache = text_BT[:, :1], model.base_model, None
    model.eval()
    with execution.autocast():
        if model.config.is_encoder_decoder:
            encoded_BTD = model.get_encoder()(input_ids=prompt_BT).last_hidden_state
            prompt_peak = storages.above(resting)
            encoded_BTD = encoded_BTD.repeat_interleave(question.beams, dim=0)
            decode = partial(model.get_decoder(), encoder_hidden_states=encoded_BTD)
            last = {"decoder_input_ids": next_B1, "encoder_outputs": (encoded_BTD,)}
        else:
            cache = decode(prompt_BT, use_cache=True).past_key_values
            prompt_peak = storages.above(resting)
            last = {"input_ids": next_B1}
        # One token alone before the last: a cache with hidden states keeps those of earlier tokens.
        for part_BT in (text_BT[:, 2:], next_B1):
            if part_BT.numel():
                cache = decode(part_BT, past_key_values=cache, use_cache=True).past_key_values
        storages.above(resting)
        logits_BTV = model(**last, past_key_values=cache, use_cache=True).logits
        logits_BTV.float().log_softmax(-1)  # as beam search computes them
    return max(prompt_peak, storages.above(resting))


def _batch(family: Task, question: MemoryQuestion, rows: int, longest: int) -> Batch:
    """Return a batch of the longest rows, with a loss at every position that can have one."""
    encoded = family.longest_rows(rows, longest, question.target_tokens)
    return family.collate(encoded, np.arange(rows), 0)
