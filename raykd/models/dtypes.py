"""The dtypes that a model is held in."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from transformers import PreTrainedModel

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def cast(
    model: PreTrainedModel, weights: Literal["fp32", "bf16"], buffers: Literal["fp32"] | None
) -> PreTrainedModel:
    """The same model with its weights in this precision. Buffers `fp32`: each as transformers has
    it in a model that it loads in the precision of the weights. Those that are saved are cast
    with them; RoPE's frequencies stay in fp32, since rounded ones turn a long row's positions by
    another angle. None: all are cast, which `Module.to` does and raykd 0.1.0 did."""
    dtype = DTYPES[weights]
    if buffers is None:
        return model.to(dtype)
    with torch.device("meta"):
        # It notes the dtype in the configuration, which a copy is for.
        loaded = type(model)._from_config(copy.deepcopy(model.config), dtype=dtype)
    wanted = {name: own.dtype for name, own in loaded.named_buffers(remove_duplicate=False)}
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    for prefix, module in model.named_modules():
        for name, own in module._buffers.items():
            if own is not None:
                module._buffers[name] = own.to(wanted[f"{prefix}.{name}".lstrip(".")])
    return model
