"""The memory that a cohort takes at its peak, found by training it on shapes alone.

Teacher, student, optimiser and one step are those that train, run under torch's fake tensors, which
have shapes and no content; what is counted is every storage while it lives. So no model class has a
formula here. Not counted: what an operator needs inside itself, a GPU's own context, and Python
with its libraries.
"""

from __future__ import annotations

import weakref
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import PretrainedConfig, PreTrainedModel

from raykd.data.batches import Batch
from raykd.losses.chunked import log_likelihoods
from raykd.losses.hidden.registry import hidden_loss
from raykd.models import quantization
from raykd.models.dtypes import cast
from raykd.models.loading import positions
from raykd.models.student import student_config, width
from raykd.planning.memory.footprint import Footprint, MemoryQuestion
from raykd.runtime.execution import Execution
from raykd.runtime.group import Group
from raykd.tasks.registry import task
from raykd.tasks.task import Data, Task
from raykd.teachers.targets import LiveTeacher, Targets
from raykd.training.learner import Learner
from raykd.training.trainer import trainable


class Storages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that operators make inside it, as long as they live."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and torch's guard costs as much as the counting

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if operator is torch.ops.prim.device.default:  # makes nothing, and is most calls
            return args[0].fake_device
        made = operator(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        name, size = storage._cdata, storage.nbytes()
        if name not in self._known:  # a view has its base's
            self._known.add(name)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._gone, name, size)

    def _gone(self, name: int, size: int) -> None:
        self._known.discard(name)
        self.now -= size

    def above(self, held: int) -> int:
        """The peak since this was asked last, beyond what is held all the time."""
        found, self.peak = self.peak - held, self.now
        return found


def measure(teacher: PretrainedConfig, load: MemoryQuestion) -> Footprint:
    """What a worker holds that trains students of a teacher of this configuration."""
    family, device = task(load.trial.task), torch.device("cpu")
    training, loss = load.trial.training, load.trial.loss
    loss = replace(loss, kind=hidden_loss(loss.kind).stand_in or loss.kind)
    load = replace(load, trial=replace(load.trial, loss=loss))
    where = Execution(
        device, bf16=load.bf16, gradient_checkpointing=load.gradient_checkpointing
    )  # fmt: skip
    longest = min(load.tokens, positions(teacher) or load.tokens)
    seen = Storages()
    with torch.device("meta"):  # where a model can still be given its precision and adapters
        bare = cast(family.auto.from_config(teacher), training.weights, training.buffers)
        student = family.auto.from_config(student_config(teacher, load.trial.shape))
        student = trainable(student, load.trial, where)
    with FakeTensorMode(allow_non_fake_inputs=True), seen:
        model = _placed(bare)
        held = seen.now
        learner = Learner(
            load.trial, _placed(student), family, width(model), Group(), device, where.autocast()
        )
        _remembered(learner, best=not load.gpu)
        resting = seen.now
        seen.above(0)
        targets = _step(learner, model, load, _batch(family, load, load.rows, longest), where)
        step = seen.above(resting)
        gradients = sum(p.numel() * p.element_size() for p in learner.parameters)
        del targets
        learner.update(1)
        resting = seen.now
        seen.above(0)
        if load.writes is None:
            _scored(learner, family, _batch(family, load, Data.eval_batch, longest), where)
            evaluation = seen.above(resting)
        else:
            evaluation = _written(learner.model, load, longest, where, seen, resting)
    return Footprint(
        teacher=held - quantization.saved(model, load.bits),
        student=resting - held,
        step=step + quantization.scratch(model, load.bits),
        gradients=gradients,
        evaluation=evaluation,
    )


def _placed(model: PreTrainedModel) -> PreTrainedModel:
    """From the meta device, as if on the CPU; weights that were one are one again."""
    model.to_empty(device="cpu")
    model.tie_weights()
    return model


def _remembered(learner: Learner, best: bool) -> None:
    """With what comes into being in training and stays: the optimiser's moments, and the best
    weights so far, which are in the host's memory."""
    for parameter in learner.parameters:
        parameter.grad = torch.zeros_like(parameter)
    learner.update(0)
    if best:
        learner.keep_best(0.0, 0)


def _step(
    learner: Learner, teacher: PreTrainedModel, load: MemoryQuestion, batch: Batch, where: Execution
) -> Targets:
    padded = hidden_loss(learner.trial.loss.kind).padded
    live = LiveTeacher(teacher, load.states, learner.family, where.autocast(), padded=padded)
    targets = live(batch)
    learner.backward(batch, targets, 1)
    live.close()
    return targets


@torch.no_grad()
def _scored(learner: Learner, family: Task, batch: Batch, where: Execution) -> None:
    learner.model.eval()
    with where.autocast():
        said = family.forward(learner.model, batch)
        if said.head is not None:
            assert batch.labels is not None
            log_likelihoods(said, batch.labels)


@torch.no_grad()
def _written(
    model: Any, load: MemoryQuestion, longest: int, where: Execution, seen: Storages, resting: int
) -> int:
    """The peak of a batch of which texts are written: as its prompts are read, or at the last
    token, with a cache of all before it. The cache is filled at once, which is not counted."""
    assert load.writes is not None
    prompt_BT = torch.zeros(Data.eval_batch, longest, dtype=torch.int64)
    said_BT = torch.zeros(Data.eval_batch * load.beams, load.writes, dtype=torch.int64)
    next_B1, write, cache = said_BT[:, :1], model.base_model, None
    model.eval()
    with where.autocast():
        if model.config.is_encoder_decoder:
            x_BTD = model.get_encoder()(input_ids=prompt_BT).last_hidden_state
            reading = seen.above(resting)
            x_BTD = x_BTD.repeat_interleave(load.beams, dim=0)
            write = partial(model.get_decoder(), encoder_hidden_states=x_BTD)
            last = {"decoder_input_ids": next_B1, "encoder_outputs": (x_BTD,)}
        else:
            cache = write(prompt_BT, use_cache=True).past_key_values
            reading = seen.above(resting)
            last = {"input_ids": next_B1}
        # One token by itself before the last: who looks at states keeps those of what was before.
        for part_BT in (said_BT[:, 2:], next_B1):
            if part_BT.numel():
                cache = write(part_BT, past_key_values=cache, use_cache=True).past_key_values
        seen.above(resting)
        logits_BTV = model(**last, past_key_values=cache, use_cache=True).logits
        logits_BTV.float().log_softmax(-1)  # as a search over beams has them
    return max(reading, seen.above(resting))


def _batch(family: Task, load: MemoryQuestion, rows: int, longest: int) -> Batch:
    """Rows as long as can be, with a loss at every position that can have one."""
    encoded = family.longest_rows(rows, longest, load.target_tokens)
    return family.collate(encoded, np.arange(rows), 0)
