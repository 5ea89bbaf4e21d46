"""A mixed model over several tasks: the strategy is fixed, the task and the seed are random."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effect:
    """A strategy's difference to forward over all tasks; positive is better."""

    strategy: str
    effect: float
    se: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Mixed:
    init: str
    shape: str
    tasks: int
    n: int
    effects: tuple[Effect, ...]
    sd_task: float
    sd_task_strategy: float
    sd_seed: float
    sd_residual: float
    level: float
