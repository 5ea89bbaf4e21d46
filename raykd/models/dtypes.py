"""The dtypes that a model is held in."""

from __future__ import annotations

import copy
import re
from typing import Literal

import torch
from transformers import PreTrainedModel

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def cast(
    model: PreTrainedModel, weights: Literal["fp32", "bf16"], buffers: Literal["fp32"] | None
) -> PreTrainedModel:
    """Cast the weights of a model in place and return it.

    With `buffers="fp32"`, each buffer has the dtype that transformers gives it in a model loaded in
    the precision of the weights: saved buffers are cast with the weights, and RoPE's frequencies
    stay in fp32, since rounded ones rotate the positions of a long row by another angle. None: all
    buffers are cast, as `Module.to` does and raykd 0.1.0 did."""
    dtype = DTYPES[weights]
    if buffers is None:
        return model.to(dtype)
    with torch.device("meta"):
        # A copy, because `_from_config` stores the dtype in the configuration.
        loaded = type(model)._from_config(copy.deepcopy(model.config), dtype=dtype)
    dtypes = {name: buffer.dtype for name, buffer in loaded.named_buffers(remove_duplicate=False)}
    kept = _kept(model) if dtype != torch.float32 else set()
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.to(torch.float32 if name in kept else dtype)
    for prefix, module in model.named_modules():
        for name, buffer in module._buffers.items():
            if buffer is not None:
                full = f"{prefix}.{name}".lstrip(".")
                module._buffers[name] = buffer.to(torch.float32 if full in kept else dtypes[full])
    return model


def _kept(model: PreTrainedModel) -> set[str]:
    """Names of the tensors that the class computes with in fp32 whatever the other weights are
    (routers of some mixtures of experts)."""
    patterns = [p.replace("*", ".*") for p in model._keep_in_fp32_modules_strict or ()]
    saved = model.state_dict(keep_vars=True)
    return {n for n, t in saved.items() if t.is_floating_point()
            and any(re.search(p, n) for p in patterns)}  # fmt: skip
