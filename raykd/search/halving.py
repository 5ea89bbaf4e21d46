"""Successive halving inside a cohort: drops explored students before the end of their training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SuccessiveHalving:
    """Drops the share `drop` of the worst students of a cohort at the fractions `at` of the
    training."""

    at: tuple[float, ...]
    drop: float

    def steps(self, length: int) -> dict[int, int]:
        """Maps the optimisation step (1-based) of each rung to its index; never the last step."""
        rungs = {max(1, round(fraction * length)): i for i, fraction in enumerate(self.at)}
        return {step: i for step, i in rungs.items() if step < length}

    def keep(self, size: int, rung: int) -> int:
        """Number of students of a cohort of `size` that continue after a rung; at least one."""
        return max(1, math.ceil(size * (1 - self.drop) ** (rung + 1)))

    def losers(self, scores: Mapping[str, float], size: int, rung: int) -> list[str]:
        """Trial ids to drop at a rung, by their select scores there (larger is better).

        `size` is that of the whole cohort: students that have already been pruned or have failed
        count as dropped, so that a cohort that is interrupted and replayed drops no student twice.
        """
        ranked = sorted(scores, key=lambda trial: (-scores[trial], trial))
        return ranked[self.keep(size, rung) :]
