"""Scores made up for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raykd.analysis.scores.scores import Score, Scores


def scores(
    arms: Mapping[str, Sequence[float]],
    *,
    task: str = "reviews",
    init: str = "copied",
    shape: str = "3",
    controls: Sequence[str] = (),
    **more: Any,
) -> Scores:
    """One cell; seeds are 0, 1, 2 and so on."""
    items = tuple(
        Score(task, init, shape, name, seed, "accuracy", value, control=name in controls)
        for name, values in arms.items()
        for seed, value in enumerate(values)
    )
    return Scores(items, "accuracy", **more)


def together(*found: Scores) -> Scores:
    return Scores(tuple(s for f in found for s in f.items), found[0].metric)
