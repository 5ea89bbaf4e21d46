"""Hardware and settings of the computation: device, workers, precision, memory."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from raykd.runtime.group import Group


@dataclass(frozen=True)
class Execution:
    """The hardware that a cohort runs on, and its settings."""

    device: torch.device = torch.device("cpu")
    group: Group = Group()
    bf16: bool = False
    micro_batch: int | None = None
    """Rows that a worker computes at a time; their gradients are accumulated over its share."""
    compile: bool = False
    """Whether the blocks of the students are compiled by torch.compile."""
    gradient_checkpointing: bool = False
    """Whether the blocks of the students are recomputed in the backward pass."""

    def autocast(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()
