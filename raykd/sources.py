"""Where a process that trains finds what it needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from raykd.states import GB, Choice, cache_root
from raykd.study import Study


@dataclass(frozen=True)
class Sources:
    """Plain values, which travel well; a launcher imports nothing heavy for them."""

    home: Path
    data: Path
    teacher: Path
    fingerprint: str
    max_length: int
    cache: str | None = None
    """Where the teacher's outputs are stored; None: it runs at each step."""
    half: str = "auto"
    states: tuple[int, ...] = ()
    """The teacher states that any of the sweep's maps may name."""
    limit: float = float("inf")
    """Bytes that the store may take."""
    angles: int | None = None
    """Select rows over which confirmed students are looked at in training; None: they are not."""

    @classmethod
    def of(cls, study: Study, teacher: Path, choice: Choice | None = None) -> Sources:
        sources = cls(
            study.home, study.prepared.folder, teacher, study.teacher, study.config.task.max_length,
            angles=study.config.angle_rows,
        )  # fmt: skip
        if choice is None or choice.source == "live":
            return sources
        wanted = study.config.states
        return replace(
            sources, cache=cache_root(study), half=wanted.half, states=choice.states,
            limit=wanted.limit_gb * GB,
        )  # fmt: skip
