"""What the seeds of a planned sweep can decide, and the noise of a pilot sweep."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

from raykd.analysis.scores.scores import FORWARD, NONE
from raykd.analysis.stats.power import POWER, largest_sd
from raykd.analysis.stats.sequential import levels
from raykd.analysis.stats.stages import FIRST
from raykd.config.sweep import SweepConfig
from raykd.errors import UserError

if TYPE_CHECKING:  # what a plan imports is light
    from raykd.analysis.verdict.verdict import Verdict


def of_plan(config: SweepConfig, arms: Collection[str]) -> str | None:
    """Return the line for `raykd plan`, over the known arms and the best explored maps to come."""
    if config.confirm is None:
        return None
    best = config.confirm.best if config.explore else 0
    arms = {*arms, *(f"best_{rank}" for rank in range(1, best + 1))}
    looks, alpha = config.confirm.looks, config.alpha
    if looks is not None:
        alpha = levels(looks, alpha)[-1]
    if not config.confirm.extend:
        return decides(len(config.confirm.seed_list), config.margin, alpha, arms)
    line = decides(len(config.confirm.seed_list), config.margin, FIRST * alpha, arms)
    return f"{line}; at alpha {FIRST * alpha:.2g}, as seeds may be added (confirm.extend)"


def decides(seeds: int, margin: float, alpha: float, arms: Collection[str]) -> str:
    """Return a line that says up to which noise these seeds can decide."""
    others = len(set(arms) - {NONE, FORWARD})
    if seeds < 2:
        return f"nothing: {seeds} seed shows no variance; write at least two"
    if FORWARD not in arms or not others:
        return "no hypothesis: there is no pair of forward and another strategy to compare"
    sd = largest_sd(seeds, margin, alpha, others)
    assert sd is not None
    which = "another strategy equals" if others == 1 else f"{others} other strategies equal"
    return (
        f"at margin {margin:.4g}, {seeds} seeds show that {which} forward (power {POWER:g}"
        f"{', all together' if others > 1 else ''}) where the SD of a paired difference is at most "
        f"{sd:.2g}; for a larger one see `raykd power`"
    )


def pilot(verdict: Verdict) -> tuple[float, int, int]:
    """Return (sd, degrees of freedom, comparisons): the SD of paired differences to forward, pooled
    over a sweep's comparisons, and the most comparisons of any cell. Raises UserError."""
    pairs = [(c.sd, c.n - 1) for cell in verdict.cells for c in cell.to_forward if c.sd is not None]
    df = sum(n for _, n in pairs)
    if not df:
        raise UserError(
            f"{verdict.source}: no strategy shares two finished seeds with forward, so there is no "
            "SD to learn from; run at least two seeds, or write --sd"
        )
    sd = math.sqrt(sum(sd**2 * n for sd, n in pairs) / df)
    return sd, df, max(len(cell.to_forward) for cell in verdict.cells)
