"""Whether students can be cut from a class of models and trained for a kind of task: what shows
before any weight of the teacher is read.

Teacher and student are built on the meta device, where weights have shapes and no values. Then a
student with random weights reads two rows of a few tokens: its head must be one that raykd
computes, and its states must be laid out as [rows, tokens, width].
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from transformers import PretrainedConfig, PreTrainedModel

from raykd.config.trial import Shape
from raykd.data.batches import Batch
from raykd.errors import UserError, first_line
from raykd.maps.activations import states
from raykd.maps.depth import Depth
from raykd.models.block_kinds import on_meta
from raykd.models.capture import ActivationCapture, stacks
from raykd.models.router import router_loss
from raykd.models.student import student_config, width
from raykd.runtime.seeds import seeded
from raykd.tasks.task import Task

MOST_BYTES = 5 * 10**8  # of the student that runs
ROWS, TOKENS, TARGET = 2, 13, 7
FEW = 128  # tokens of a vocabulary that is made smaller, so that the student can run
SPECIAL = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")


def uncuttable(teacher: PretrainedConfig, shape: Shape, family: Task) -> str | None:
    """Why students of this shape cannot be cut from such a teacher or trained, in one line; None if
    no reason shows without the teacher's weights."""
    name, auto = teacher.model_type, family.auto
    if type(teacher) not in auto._model_mapping:
        return f"{name} cannot be taken for {family.kind.name}: transformers has no {auto.__name__}"
    try:
        stacks(on_meta(teacher, auto))
        config = student_config(teacher, shape)
        student = on_meta(config, auto)
        stacks(student)
    except Exception as error:  # the classes of transformers raise many kinds
        return f"{name} cannot be cut: {_reason(error)}"
    small = config if _fits(student) else _of_few_tokens(config)
    if small is not config and not _fits(on_meta(small, auto)):
        return None
    return _unusable(small, shape, family)


def _fits(model: PreTrainedModel) -> bool:
    """Whether the weights of a model are so small that a plan can run it."""
    size: int = sum(p.numel() * p.element_size() for p in model.parameters())
    return size <= MOST_BYTES


def _of_few_tokens(config: PretrainedConfig) -> PretrainedConfig:
    """The same configuration with a small vocabulary, whose first token stands for special ones."""
    config = copy.deepcopy(config)
    config.vocab_size = FEW
    for name in SPECIAL:
        if getattr(config, name, None) is not None:
            setattr(config, name, 0)
    return config


def _unusable(config: PretrainedConfig, shape: Shape, family: Task) -> str | None:
    """Why a student of this configuration cannot be trained, in one line; None if it can."""
    try:
        with seeded(0):
            model = family.auto.from_config(config).eval()
            family.refuse_other_head(model)
            router_loss(model)
            return _other_layout(model, shape.depth, family)
    except UserError as error:
        return error.lines[0].removeprefix("teacher.model: ")
    except IndexError:  # some token of the configuration is not in the smaller vocabulary
        return None
    except Exception as error:  # the classes of transformers raise many kinds
        if len(set(getattr(config, "layer_types", None) or ())) > 1:
            return None  # hybrids: another choice of blocks may run
        return f"{config.model_type} cannot be run: {_reason(error)}"


def _reason(error: Exception) -> str:
    line = first_line(error)
    return line if isinstance(error, ValueError) else f"{type(error).__name__}: {line}"


@torch.no_grad()
def _other_layout(model: PreTrainedModel, depth: Depth, family: Task) -> str | None:
    """The first state that does not begin with [rows, tokens] and end with the width, in one line.
    The states of models with several residual streams have a dimension between."""
    batch = _batch(model, family)
    tokens = {"encoder": TOKENS}
    if depth.decoder is not None:
        tokens["decoder"] = batch.inputs["labels"].shape[1]
    with ActivationCapture(model, states(depth)) as taps:
        family.forward(model, batch)
    for state, x_BTD in taps.values.items():
        expected, shape = [ROWS, tokens[state.stack], width(model)], list(x_BTD.shape)
        if [*shape[:2], shape[-1]] != expected:
            return (
                f"{model.config.model_type} cannot be matched: its {state.column} is {shape}, and "
                f"not {expected} (rows, tokens, width)"
            )
    return None


def _batch(model: PreTrainedModel, family: Task) -> Batch:
    """Rows of one token that is not special."""
    config = model.config
    special = {i for name in SPECIAL for i in _listed(getattr(config, name, None))}
    plain = next((i for i in range(config.vocab_size) if i not in special), 0)
    rows = family.longest_rows(ROWS, TOKENS, TARGET)
    batch = family.collate(rows, np.arange(ROWS), getattr(config, "pad_token_id", None) or 0)
    tokens = {"input_ids", "labels"} & set(batch.inputs)
    filled = {name: torch.full_like(batch.inputs[name], plain) for name in tokens}
    return replace(batch, inputs={**batch.inputs, **filled})


def _listed(ids: int | list[int] | None) -> list[int | None]:
    return list(ids) if isinstance(ids, list) else [ids]
