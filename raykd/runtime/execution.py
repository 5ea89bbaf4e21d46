"""How and on what a process computes: device, workers, precision, memory."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from raykd.runtime.group import Group


@dataclass(frozen=True)
class Execution:
    """The hardware a cohort runs on, and how."""

    device: torch.device = torch.device("cpu")
    group: Group = Group()
    bf16: bool = False
    micro_batch: int | None = None
    """Rows a worker computes at a time; their gradients add up to those of its share."""
    compile: bool = False
    """Whether the students' blocks go through torch.compile."""
    gradient_checkpointing: bool = False
    """Whether the students' blocks are computed once more in the backward pass."""

    def autocast(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()
