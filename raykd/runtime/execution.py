"""Hardware and settings of the computation: device, workers, precision, memory."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch

from raykd.runtime.execution_settings import ExecutionSettings, Precision
from raykd.runtime.group import Group
from raykd.runtime.precision import HALVES, fp32_arithmetic


@dataclass(frozen=True)
class Execution(ExecutionSettings):
    """The hardware that a cohort runs on, and its settings."""

    device: torch.device = torch.device("cpu")
    group: Group = Group()
    precision: Precision = "fp32"

    @classmethod
    def of(
        cls, settings: ExecutionSettings, device: torch.device | str, group: Group | None = None
    ) -> Self:
        """These settings on a device, as one of a group of workers."""
        return cls(torch.device(device), group or Group(), **asdict(settings))

    @property
    def arithmetic(self) -> str:
        """The name of the precision that is recorded: `fp32`, `tf32`, `bf16` or `fp16`."""
        return fp32_arithmetic(self.device) if self.precision == "fp32" else self.precision

    def autocast(self) -> Any:
        """Return a new context in which a model runs in this precision."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, HALVES[self.precision])
