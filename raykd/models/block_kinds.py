"""Whether two transformer blocks are one function but for the values of their weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PretrainedConfig, PreTrainedModel

from raykd.models.capture import stacks

# T5's first block holds the position bias that all blocks of its stack use.
SHARED = "relative_attention_bias"
# No differences: a block's number by itself names a place in a cache, and how a block is trained
# is its user's choice.
IGNORED = {
    "layer_idx", "layer_id", "layer_index", "layer_number", "block_idx",
    f"has_{SHARED}", "training", "gradient_checkpointing",
}  # fmt: skip

Blocks = dict[str, list[int]]
"""The teacher blocks (1-based) that a student is made of, in their order, by stack."""


def misplaced(teacher: PreTrainedModel, student: PreTrainedModel, blocks: Blocks) -> str | None:
    """The first block of a student that is built otherwise than the one it is to be copied from,
    in one line; None where there is none. Looks at no value of a weight."""
    sources, targets = stacks(teacher), stacks(student)
    for stack, named in blocks.items():
        of = f"{stack} block" if len(blocks) > 1 else "block"
        for position, block in enumerate(named, 1):
            if why := unlike(sources[stack][block - 1], targets[stack][position - 1]):
                return (
                    f"{type(teacher).__name__}: teacher {of} {block} cannot be copied into student "
                    f"{of} {position}: {why}"
                )
    return None


def on_meta(config: PretrainedConfig) -> PreTrainedModel:
    """A model of this configuration without a head, and without memory."""
    with torch.device("meta"):
        model: PreTrainedModel = AutoModel.from_config(config)
    return model


def unlike(block: nn.Module, own: nn.Module) -> str | None:
    """In what two blocks differ, but for the values of their weights; None where in nothing."""
    theirs, mine = dict(block.named_modules()), dict(own.named_modules())
    lone = sorted(n for n in theirs.keys() ^ mine.keys() if not n.endswith(SHARED))
    if lone:
        return f"only one of them has {lone[0]}"
    for name, module in theirs.items():
        other = mine.get(name)
        if other is None:
            continue
        if type(module) is not type(other):
            return f"its {name} is {_kind(module)} there and {_kind(other)} here"
        if _shapes(module) != _shapes(other):
            return f"the weights of {name} have another shape"
        settings, here = _settings(module), _settings(other)
        for key in sorted(settings.keys() | here.keys()):
            if settings.get(key) != here.get(key):
                full = f"{name}.{key}".lstrip(".")
                return f"its {full} is {settings.get(key)} there and {here.get(key)} here"
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
