"""The winner's curse: the lead of an explored map in the search, and its lead under fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raykd.analysis.digits import Digits
from raykd.analysis.stats.paired import interval, summary


@dataclass(frozen=True)
class Curse:
    """Winner's curse of one explored map, in the metric's units. Positive gains are better."""

    strategy: str
    map: str
    explored: float
    """Select score in the search."""
    against: str
    """`forward` if the search tried its map, else `the median of the search`."""
    promised: float
    """Lead over `against` in the search."""
    kept: float
    """Mean lead over forward on test, under fresh seeds."""
    interval: tuple[float, float] | None
    """Confidence interval of `kept`."""
    lost: float
    """promised - kept."""
    n: int
    still_ahead: bool | None
    """Whether the interval lies above zero; None without an interval."""
    says: str


def winner(
    strategy: str,
    layer_map: str,
    explored: Mapping[str, float],
    forward_map: str,
    differences: Sequence[float],
    *,
    sign: int,
    alpha: float,
    margin: float,
    resolution: float = 0.0,
) -> Curse:
    """Return the winner's curse of a confirmed explored map.

    explored: select score of every explored map. differences: best - forward on test by seed;
    positive is better. sign: -1 if smaller scores are better."""
    score = explored[layer_map]
    against = "forward" if forward_map in explored else "the median of the search"
    baseline = explored.get(forward_map, float(np.median(list(explored.values()))))
    promised, kept, bounds = sign * (score - baseline), float(np.mean(differences)), None
    if len(differences) > 1:
        mean, sd = summary(differences, resolution)
        low, high = interval(mean, sd, len(differences), 1 - alpha)
        bounds = (float(low), float(high))
    still_ahead = None if bounds is None else bounds[0] > 0
    standing = {None: "one seed cannot tell whether it is ahead of forward",
            True: "it is still ahead of forward",
            False: "that it is ahead of forward is not shown"}[still_ahead]  # fmt: skip
    digits = Digits.of(margin, 0.0, promised, kept)
    return Curse(
        strategy=strategy,
        map=layer_map,
        explored=score,
        against=against,
        promised=promised,
        kept=kept,
        interval=bounds,
        lost=promised - kept,
        n=len(differences),
        still_ahead=still_ahead,
        says=(
            f"{strategy} {layer_map} led {against} by {digits.signed(promised)} in the search and "
            f"leads forward by {digits.signed(kept)} under {len(differences)} fresh seeds: "
            f"{standing}"
        ),
    )
