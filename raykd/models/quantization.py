"""Teachers whose weights are held in 8 or 4 bits, by bitsandbytes through transformers: on a GPU of
Nvidia's alone. Students are never quantised, and are cut from the teacher's plain weights."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Literal

from raykd.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Bits = Literal[4, 8]

# Of a weight, in bits: a scale in fp32 for each row of a matrix is next to nothing; of NF4 one
# for each 64 weights, itself in 8 bits (QLoRA, arXiv 2305.14314, section 3).
SCALES = {8: 0.0, 4: 0.127}


def refuse(bits: Bits | None, gpus: float, file: str) -> None:
    """Raises UserError where a teacher in so many bits is asked and cannot be had."""
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
    """What `from_pretrained` is told: the matrices in so many bits, all else and the arithmetic in
    `dtype`, and the weights straight onto the device. The output layer stays as it is."""
    from transformers import BitsAndBytesConfig

    how: dict[str, Any] = {"load_in_8bit": True}
    if bits == 4:
        how = {
            "load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": dtype,
        }  # fmt: skip
    return {
        "quantization_config": BitsAndBytesConfig(**how),
        "device_map": {"": device},
        "dtype": dtype,
    }


def saved(model: PreTrainedModel, bits: Bits | None) -> int:
    """Bytes that a plain model's quantised form is smaller by."""
    if bits is None:
        return 0
    each = (bits + SCALES[bits]) / 8
    return sum(round(w.numel() * (w.element_size() - each)) for w in _matrices(model))


def scratch(model: PreTrainedModel, bits: Bits | None) -> int:
    """Bytes of the one matrix that is made plain for its product."""
    if bits is None:
        return 0
    return max(w.numel() * w.element_size() for w in _matrices(model))


def _matrices(model: PreTrainedModel) -> list[torch.Tensor]:
    from torch import nn

    head = model.get_output_embeddings()
    return [m.weight for m in model.modules() if isinstance(m, nn.Linear) and m is not head]
