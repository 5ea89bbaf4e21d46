"""Callbacks of the training loop. The core knows only this protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class TeacherTiming:
    """The source of a cohort's targets (None without a teacher), the seconds that the steps so far
    have waited for them, and the global rows of those steps."""

    source: str | None
    seconds: float
    rows: int


class Hooks(Protocol):
    """Callbacks between steps. Every worker calls them at the same steps."""

    def progress(
        self, step: int, examples: int, scores: Mapping[str, float], taught: TeacherTiming
    ) -> None:
        """Called at ticks. `examples`: rows since the last tick over all workers, counted once per
        student; `scores`: select scores by trial id."""

    def checkpoint(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        """Called at evaluations, and where `asks_at` says so: store `state()` if a checkpoint is
        due."""

    def asks_at(self, step: int) -> bool:
        """Called after steps without an evaluation: whether to call `checkpoint`. The answer must
        be the same on every worker."""


class NoHooks:
    def progress(
        self, step: int, examples: int, scores: Mapping[str, float], taught: TeacherTiming
    ) -> None: ...

    def checkpoint(self, step: int, state: Callable[[], dict[str, Any]]) -> None: ...

    def asks_at(self, step: int) -> bool:
        return False
