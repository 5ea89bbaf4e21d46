"""Paths and settings that a process needs to train a cohort."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raykd.models.quantization import Bits

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig
    from raykd.maps.activations import Activation
    from raykd.runtime.plugins import Plugin


@dataclass(frozen=True)
class TrainingInputs:
    """Plain, picklable values; a launcher imports nothing heavy to build them."""

    home: Path
    data: Path
    teacher: Path
    fingerprint: str
    task: TaskConfig
    cache: str
    """Address of the teacher cache, which may not exist yet."""
    source: Literal["live", "cached"] = "live"
    """Whether new students read the targets from the cache or run the teacher at each step."""
    cache_dtype: str = "auto"
    states: tuple[Activation, ...] = ()
    """The teacher states that the sweep's maps may name."""
    limit: float = float("inf")
    """Maximum size of the cache in bytes."""
    weights: Literal["fp32", "bf16"] = "fp32"
    """Precision of the teacher's weights."""
    buffers: Literal["fp32"] | None = None
    """Precision of the teacher's buffers (models/dtypes.py)."""
    bits: Bits | None = None
    """Bits of a quantised teacher."""
    angles: int | None = None
    """Select rows of the angle probe of confirmed students in training; None: no probe."""
    plugins: tuple[Plugin, ...] = ()
    """Plug-ins that are imported before anything else."""
