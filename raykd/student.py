"""Builds a student from its teacher: depth, width, and how its weights start."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel

from raykd.layermap import LayerMap
from raykd.taps import stacks
from raykd.trial import Init, Shape

# Names of the feed-forward width; DistilBERT has its own.
INTERMEDIATE = ("intermediate_size", "hidden_dim")


def build_student(teacher: PreTrainedModel, shape: Shape, init: Init, seed: int) -> PreTrainedModel:
    """An untrained student of the teacher's class, every parameter trainable.

    What is random depends on `seed` alone; the global random state is left as it was. `copied`
    takes the embeddings and all shared parts, the blocks that `init.blocks` names (1-based), and
    with `init.head` the classifier. Raises ValueError where copied weights would not fit.
    """
    config = student_config(teacher.config, shape)
    with _seeded(seed):
        student = type(teacher)(config)
    if init.kind == "copied":
        assert init.blocks is not None
        if width(student) != width(teacher):
            raise ValueError(
                f"weights of width {width(teacher)} cannot be copied into width {width(student)}"
            )
        _copy(teacher, student, init.blocks, init.head)
    return student.requires_grad_(True)


def _copy(
    teacher: PreTrainedModel, student: PreTrainedModel, blocks: tuple[int, ...], head: bool
) -> None:
    source, target = stacks(teacher)["encoder"], stacks(student)["encoder"]
    for position, block in enumerate(blocks):
        target[position].load_state_dict(source[block - 1].state_dict())
    # What is left is shared by all blocks (embeddings, position biases, pooler) or is the head.
    inside = f"{_name_of(student, target)}."
    base = f"{student.base_model_prefix}."
    shared = {
        name: value
        for name, value in teacher.state_dict().items()
        if not name.startswith(inside) and (head or name.startswith(base))
    }
    student.load_state_dict(shared, strict=False)


def _name_of(model: nn.Module, module: nn.Module) -> str:
    return next(name for name, found in model.named_modules() if found is module)


def student_config(teacher: PretrainedConfig, shape: Shape) -> PretrainedConfig:
    """The teacher's configuration at the student's size.

    A stated width keeps the teacher's number of heads where it divides the width (as the paper's
    widths do), else the largest number below it that does, and the teacher's feed-forward ratio.
    """
    config = copy.deepcopy(teacher)
    config.num_hidden_layers = shape.blocks
    inner = next(n for n in INTERMEDIATE if hasattr(config, n))
    wide = shape.width or config.hidden_size
    if wide != config.hidden_size:
        ratio = getattr(config, inner) / config.hidden_size
        setattr(config, inner, round(ratio * wide))
        # DeBERTa's pooler states its width apart; embeddings of their own width stay as they are.
        if getattr(config, "pooler_hidden_size", None) == config.hidden_size:
            config.pooler_hidden_size = wide
        config.hidden_size = wide
    heads = shape.heads or config.num_attention_heads
    if shape.heads is None:
        heads = next(h for h in range(heads, 0, -1) if wide % h == 0)
    config.num_attention_heads = heads
    if shape.intermediate is not None:
        setattr(config, inner, shape.intermediate)
    return config


def student_parameters(teacher: PretrainedConfig, shape: Shape) -> int:
    """How many parameters such a student has, without allocating them."""
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(student_config(teacher, shape))
    return sum(p.numel() for p in model.parameters())


def build_projections(
    layer_map: LayerMap, student_width: int, teacher_width: int, seed: int
) -> nn.ModuleDict:
    """Bias-free maps from student to teacher width, one a matched student state; none where the
    widths are equal. Trained with the student, never exported."""
    if student_width == teacher_width:
        return nn.ModuleDict()
    with _seeded(seed):
        return nn.ModuleDict(
            {
                str(state): nn.Linear(student_width, teacher_width, bias=False)
                for state, _ in layer_map.pairs()
            }
        )


def project(projections: nn.ModuleDict, state: int, x_ND: Tensor) -> Tensor:
    """A student state in the teacher's width."""
    if not len(projections):
        return x_ND
    projected: Tensor = projections[str(state)](x_ND)
    return projected


def width(model: PreTrainedModel) -> int:
    return int(model.config.hidden_size)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random numbers from `seed` inside, the surrounding stream untouched."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
