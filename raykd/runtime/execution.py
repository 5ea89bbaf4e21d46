"""Hardware and settings of the computation: device, workers, precision, memory."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch

from raykd.runtime.execution_settings import ExecutionSettings
from raykd.runtime.group import Group


@dataclass(frozen=True)
class Execution(ExecutionSettings):
    """The hardware that a cohort runs on, and its settings."""

    device: torch.device = torch.device("cpu")
    group: Group = Group()
    bf16: bool = False

    @classmethod
    def of(
        cls, settings: ExecutionSettings, device: torch.device | str, group: Group | None = None
    ) -> Self:
        """These settings on a device, as one of a group of workers."""
        return cls(torch.device(device), group or Group(), **asdict(settings))

    def autocast(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()
