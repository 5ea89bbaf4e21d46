"""Teachers with 8-bit or 4-bit weights, by bitsandbytes through transformers; Nvidia GPUs only.
Students are never quantised, and are cut from the unquantised weights of the teacher."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Literal

from raykd.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Bits = Literal[4, 8]

# Bits of scale for each weight. 8 bits: one fp32 scale for each row of a matrix, negligible. NF4:
# one scale for 64 weights, itself quantised to 8 bits (QLoRA, arXiv 2305.14314, section 3).
SCALES = {8: 0.0, 4: 0.127}


def refuse(bits: Bits | None, gpus: float, file: str) -> None:
    """Raises UserError if a quantised teacher is requested that this machine cannot load."""
    if bits is None:
        return
    key = f"{file}: teacher.bits: {bits} needs"
    if not gpus:
        raise UserError(
            f"{key} a CUDA GPU, and there is none; leave it out (`training.weights: bf16` halves "
            "the teacher anywhere)"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            f"{key} bitsandbytes; run `pip install raykd[quant]` here and on every node, or leave "
            "it out"
        )


def options(bits: Bits, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Arguments of `from_pretrained`: matrices in `bits` bits, all else and the arithmetic in
    `dtype`, and weights loaded directly to the device. The output layer is not quantised."""
    from transformers import BitsAndBytesConfig

    settings: dict[str, Any] = {"load_in_8bit": True}
    if bits == 4:
        settings = {
            "load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": dtype,
        }  # fmt: skip
    return {
        "quantization_config": BitsAndBytesConfig(**settings),
        "device_map": {"": device},
        "dtype": dtype,
    }


def saved(model: PreTrainedModel, bits: Bits | None) -> int:
    """Bytes that quantisation saves, given the unquantised model."""
    if bits is None:
        return 0
    bytes_per_weight = (bits + SCALES[bits]) / 8
    return sum(round(w.numel() * (w.element_size() - bytes_per_weight)) for w in _matrices(model))


def scratch(model: PreTrainedModel, bits: Bits | None) -> int:
    """Bytes of the largest matrix, which is dequantised for its product."""
    if bits is None:
        return 0
    return max(w.numel() * w.element_size() for w in _matrices(model))


def _matrices(model: PreTrainedModel) -> list[torch.Tensor]:
    from torch import nn

    head = model.get_output_embeddings()
    return [m.weight for m in model.modules() if isinstance(m, nn.Linear) and m is not head]
