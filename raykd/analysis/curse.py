"""The winner's curse: what the search promised, and what fresh seeds kept of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Curse:
    """Of one explored map. Positive gains are better; all in the metric's units."""

    strategy: str
    map: str
    explored: float
    """Its score in the search, on select."""
    against: str
    """`forward`, where the search tried that map too, else `the median of the search`."""
    promised: float
    """Its lead in the search over `against`."""
    kept: float
    """Its mean lead over forward on test, under fresh seeds."""
    interval: tuple[float, float] | None
    """Of `kept`."""
    lost: float
    """promised - kept."""
    n: int
    still_ahead: bool | None
    """Whether the interval lies above zero; None where it cannot be told."""
    says: str
