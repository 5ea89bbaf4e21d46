"""Which explored students are dropped before their end: successive halving inside a cohort."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SuccessiveHalving:
    """At these fractions of the training, this share of the cohort's worst students is dropped."""

    at: tuple[float, ...]
    drop: float

    def steps(self, length: int) -> dict[int, int]:
        """Optimisation step (1-based) of each rung, and which rung it is; never the last step."""
        found = {max(1, round(fraction * length)): i for i, fraction in enumerate(self.at)}
        return {step: i for step, i in found.items() if step < length}

    def keep(self, size: int, rung: int) -> int:
        """How many of a cohort of `size` go on after a rung; at least one."""
        return max(1, math.ceil(size * (1 - self.drop) ** (rung + 1)))

    def losers(self, scores: Mapping[str, float], size: int, rung: int) -> list[str]:
        """Trial ids that leave at a rung, by their select scores there (larger is better).

        `size` is the whole cohort's: those who left already, pruned or failed, count as dropped,
        so that a cohort that was interrupted and replayed drops no one twice.
        """
        ranked = sorted(scores, key=lambda trial: (-scores[trial], trial))
        return ranked[self.keep(size, rung) :]
