"""Settings of the computation that do not depend on the machine. Plain Python, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "bf16", "fp16"]
"""Arithmetic of the models' passes: fp32 (TF32 where a GPU has it), or autocast to a half."""


@dataclass(frozen=True, kw_only=True)
class ExecutionSettings:
    """How a worker computes its share of a step. None of these changes a result, up to rounding."""

    micro_batch: int | None = None
    """Rows that a worker computes at a time; their gradients are accumulated over its share."""
    compile: bool = False
    """Whether the blocks of the students are compiled by torch.compile."""
    gradient_checkpointing: bool = False
    """Whether the blocks of the students are recomputed in the backward pass."""
