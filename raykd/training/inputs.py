"""Where a process that trains finds what it needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raykd.models.quantization import Bits

if TYPE_CHECKING:
    from raykd.config.task import Task
    from raykd.planning.study import Study
    from raykd.planning.teacher_source import Choice


@dataclass(frozen=True)
class Sources:
    """Plain values, which travel well; a launcher imports nothing heavy for them."""

    home: Path
    data: Path
    teacher: Path
    fingerprint: str
    task: Task
    cache: str
    """Where the teacher's outputs are stored, or would be."""
    source: Literal["live", "cached"] = "live"
    """Whether students that begin get them from there, or from the teacher at each step."""
    half: str = "auto"
    states: tuple[int, ...] = ()
    """The teacher states that any of the sweep's maps may name."""
    limit: float = float("inf")
    """Bytes that the store may take."""
    weights: Literal["fp32", "bf16"] = "fp32"
    """How the teacher's are held."""
    bits: Bits | None = None
    """The teacher's, where it is quantised."""
    angles: int | None = None
    """Select rows over which confirmed students are looked at in training; None: they are not."""

    @classmethod
    def of(cls, study: Study, teacher: Path, choice: Choice | None = None) -> Sources:
        from raykd.planning.teacher_source import GB, cache_root

        wanted = study.config.states
        sources = cls(
            study.home, study.prepared.folder, teacher, study.teacher, study.config.task,
            cache_root(study), half=wanted.half, limit=wanted.limit_gb * GB,
            angles=study.config.angle_rows, weights=study.config.training.weights,
            bits=study.config.teacher.bits,
        )  # fmt: skip
        if choice is None:
            return sources
        return replace(sources, source=choice.source, states=choice.states)
