"""What a training's surroundings do between its steps. The core knows only this protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol


class Hooks(Protocol):
    """What the surroundings do between steps. Every worker calls them at the same steps."""

    def progress(self, step: int, examples: int, scores: Mapping[str, float]) -> None:
        """At ticks: `examples` global rows since the last; `scores` select scores by trial id."""

    def checkpoint(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        """At evaluations: store `state()` if it is time."""


class NoHooks:
    def progress(self, step: int, examples: int, scores: Mapping[str, float]) -> None: ...

    def checkpoint(self, step: int, state: Callable[[], dict[str, Any]]) -> None: ...
