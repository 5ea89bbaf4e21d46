"""Compares the structure of transformer blocks: whether two blocks differ in anything but their
weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PretrainedConfig, PreTrainedModel

from raykd.models.capture import stacks

# The first block of a T5 stack holds the position bias of all its blocks.
SHARED = "relative_attention_bias"
# Attributes that may differ: the number of a block only selects its place in a cache, training
# settings are the user's choice, and each pass of NLLB's experts in eval mode sets their capacity.
IGNORED = {
    "expert_capacity",
    "layer_idx", "layer_id", "layer_index", "layer_number", "block_idx",
    f"has_{SHARED}", "training", "gradient_checkpointing",
}  # fmt: skip

Blocks = dict[str, list[int]]
"""The teacher blocks (1-based) that a student consists of, in order, by stack."""


def misplaced(teacher: PreTrainedModel, student: PreTrainedModel, blocks: Blocks) -> str | None:
    """The first student block whose structure differs from that of its source block, or the first
    other tensor with another shape, in one line; None if there is none. Values of weights are not
    compared."""
    sources, targets = stacks(teacher), stacks(student)
    for stack, numbers in blocks.items():
        label = f"{stack} block" if len(blocks) > 1 else "block"
        for position, block in enumerate(numbers, 1):
            if reason := unlike(sources[stack][block - 1], targets[stack][position - 1]):
                return (
                    f"{type(teacher).__name__}: teacher {label} {block} cannot be copied into "
                    f"student {label} {position}: {reason}"
                )
    return _other_rest(teacher, student)


def _other_rest(teacher: PreTrainedModel, student: PreTrainedModel) -> str | None:
    """The first tensor outside the blocks that has another shape in the student, in one line."""
    shapes, depth = _outside(teacher), " + ".join(str(len(b)) for b in stacks(student).values())
    for name, shape in _outside(student).items():
        if shapes.get(name) != shape:
            return (
                f"{type(teacher).__name__}: its {name} cannot be copied into a student of {depth} "
                "blocks, since its shape depends on the number of blocks"
            )
    return None


def _outside(model: PreTrainedModel) -> dict[str, torch.Size]:
    """Shapes of the saved tensors that are part of no block."""
    own = list(stacks(model).values())
    blocks = tuple(f"{n}." for n, m in model.named_modules() if any(m is b for b in own))
    return {n: t.shape for n, t in model.state_dict().items() if not n.startswith(blocks)}


def on_meta(config: PretrainedConfig, auto: Any = AutoModel) -> PreTrainedModel:
    """A model of this configuration on the meta device, by default without a head."""
    with torch.device("meta"):
        model: PreTrainedModel = auto.from_config(config)
    return model


def unlike(source: nn.Module, copy: nn.Module) -> str | None:
    """The difference between two blocks, ignoring the values of weights; None if there is none."""
    source_modules, copy_modules = dict(source.named_modules()), dict(copy.named_modules())
    unmatched = sorted(
        n for n in source_modules.keys() ^ copy_modules.keys() if not n.endswith(SHARED)
    )
    if unmatched:
        return f"only one of them has {unmatched[0]}"
    for name, module in source_modules.items():
        other = copy_modules.get(name)
        if other is None:
            continue
        if type(module) is not type(other):
            return f"its {name} is {_kind(module)} there and {_kind(other)} here"
        if _shapes(module) != _shapes(other):
            return f"the weights of {name} have another shape"
        settings, other_settings = _settings(module), _settings(other)
        for key in sorted(settings.keys() | other_settings.keys()):
            if settings.get(key) != other_settings.get(key):
                full = f"{name}.{key}".lstrip(".")
                return f"its {full} is {settings.get(key)} there and {other_settings.get(key)} here"
    return None


def _kind(module: nn.Module) -> str:
    return type(module).__name__


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: p.shape for name, p in module.named_parameters(recurse=False)}


def _settings(module: nn.Module) -> dict[str, Any]:
    return {
        key: value
        for key, value in vars(module).items()
        if not key.startswith("_")
        and key not in IGNORED
        and isinstance(value, bool | int | float | str | None)
    }
