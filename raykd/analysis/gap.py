"""The largest gap between any two strategies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gap:
    """`best` minus `worst` by their means over the seeds that all strategies have; `interval`
    holds for the largest true gap, whichever pair it is between."""

    best: str
    worst: str
    effect: float
    interval: tuple[float, float]
    level: float
    n: int
    strategies: int
