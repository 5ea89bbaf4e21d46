"""What befalls a sweep, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import psutil

from .running import Running

Kind = Literal["worker", "node", "driver", "head", "group", "mlflow", "storage", "all"]
ON_A_CLUSTER: tuple[Kind, ...] = ("worker", "node", "driver", "head", "group", "mlflow", "storage")
ON_THIS_MACHINE: tuple[Kind, ...] = ("group", "all")
KILLS: tuple[Kind, ...] = ("worker", "node", "driver", "head", "group", "all")
LAUNCHES: tuple[Kind, ...] = ("head", "group", "all")
"""After which the command is given again."""
Moment = Literal["training", "recovery", "checkpoint"]


@dataclass(frozen=True)
class Fault:
    kind: Kind
    moment: Moment
    """While the loss history in the store grows; so soon after the fault before; while a checkpoint
    is written."""
    at: float
    """The share of the sweep's training steps that the history has to have reached, 0 to 1."""
    wait: float
    """Seconds from the fault before, in a recovery."""
    lasts: float
    """Seconds until a node, the server or the store is back."""
    who: tuple[int, ...] = (0,)
    """Which of the sweeps."""


@dataclass
class Struck:
    """A fault that was, and what came of it."""

    fault: Fault
    sweeps: tuple[Running, ...]
    steps: int
    """Training steps that their histories had reached."""
    done: float
    """Their share of all steps."""
    grew: bool
    """Whether a loss had come to the store within the last look at it."""
    what: str
    time: float
    """In seconds since the epoch, as everything here."""
    before: frozenset[int]
    """Workers that were there."""
    orphans: list[psutil.Process]
    """What the sweeps had started that is still there."""
    works_from: dict[str, float] = field(default_factory=dict)
    """By sweep: since when workers are there that the fault has left alone, or that came after."""
    seconds: float | None = None
    """Until students trained on, as far as the store knows."""
    launches: int = 0
    """How often a sweep's command was given again meanwhile."""
    orphaned: float = 0.0
    """Seconds in which something was left of what was killed."""
