"""Paths and settings that a process needs to train a cohort."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raykd.models.quantization import Bits

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig
    from raykd.maps.activations import Activation


@dataclass(frozen=True)
class TrainingInputs:
    """Plain values, which travel well; a launcher imports nothing heavy for them."""

    home: Path
    data: Path
    teacher: Path
    fingerprint: str
    task: TaskConfig
    cache: str
    """Where the teacher's outputs are stored, or would be."""
    source: Literal["live", "cached"] = "live"
    """Whether students that begin get them from there, or from the teacher at each step."""
    cache_dtype: str = "auto"
    states: tuple[Activation, ...] = ()
    """The teacher states that any of the sweep's maps may name."""
    limit: float = float("inf")
    """Bytes that the store may take."""
    weights: Literal["fp32", "bf16"] = "fp32"
    """How the teacher's are held."""
    buffers: Literal["fp32"] | None = None
    """Likewise (models/dtypes.py)."""
    bits: Bits | None = None
    """The teacher's, where it is quantised."""
    angles: int | None = None
    """Select rows over which confirmed students are looked at in training; None: they are not."""
