"""What a training's surroundings do between its steps. The core knows only this protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class TeacherTiming:
    """Where a cohort's targets came from, None if nobody is imitated, the seconds that the steps so
    far have waited for them, and the global rows of those steps."""

    source: str | None
    seconds: float
    rows: int


class Hooks(Protocol):
    """What the surroundings do between steps. Every worker calls them at the same steps."""

    def progress(
        self, step: int, examples: int, scores: Mapping[str, float], taught: TeacherTiming
    ) -> None:
        """At ticks: `examples` are rows since the last, each as often as a student learned it, of
        all workers; `scores` select scores by trial id."""

    def checkpoint(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        """At evaluations: store `state()` if it is time."""


class NoHooks:
    def progress(
        self, step: int, examples: int, scores: Mapping[str, float], taught: TeacherTiming
    ) -> None: ...

    def checkpoint(self, step: int, state: Callable[[], dict[str, Any]]) -> None: ...
