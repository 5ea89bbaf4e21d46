"""H3: the spread between strategies against the gain of matching."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """`ratio` = spread / gain; None where matching gains nothing. `interval` decides; `bootstrap`
    is the percentile interval over seeds, shown beside it, None under five seeds."""

    spread: float
    gain: float
    ratio: float | None
    interval: tuple[float, float] | None
    bootstrap: tuple[float, float] | None
    level: float
    n: int
