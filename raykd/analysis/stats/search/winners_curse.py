"""The winner's curse: the lead of an explored map in the search, and its lead under fresh seeds
after as many steps. After other numbers of steps, what was lost would mix the choice by luck with
the length of the training, so it is withheld.
"""

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
    kept: float | None
    """Mean lead over forward on test under fresh seeds, after as many steps as in the search; None
    if the students were trained for longer, or if the steps are unknown."""
    interval: tuple[float, float] | None
    """Confidence interval of `kept`."""
    lost: float | None
    """promised - kept."""
    n: int
    still_ahead: bool | None
    """Whether the interval lies above zero; None without an interval."""
    says: str
    searched_steps: int | None = None
    """Steps of a training in the search; None if unknown."""
    trained_steps: int | None = None
    """Steps of a confirmed training; None if unknown."""


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
    steps: tuple[int | None, int | None] = (None, None),
) -> Curse:
    """Return the winner's curse of a confirmed explored map.

    explored: select score of every explored map. differences: best - forward on test by seed;
    positive is better. sign: -1 if smaller scores are better. steps: of a training in the search
    and of a confirmed one."""
    score = explored[layer_map]
    against = "forward" if forward_map in explored else "the median of the search"
    baseline = explored.get(forward_map, float(np.median(list(explored.values()))))
    promised = sign * (score - baseline)
    lead = Digits.of(margin, 0.0, promised).signed(promised)
    start = f"{strategy} {layer_map} led {against} by {lead} in the search"
    if None in steps or steps[0] != steps[1]:
        return Curse(
            strategy, layer_map, score, against, promised, None, None, None, len(differences),
            None, f"{start}; {_not_comparable(*steps)}", *steps,
        )  # fmt: skip
    kept, bounds = float(np.mean(differences)), None
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
            f"{start} and leads forward by {digits.signed(kept)} under {len(differences)} fresh "
            f"seeds, after {steps[0]} steps as there: {standing}"
        ),
        searched_steps=steps[0],
        trained_steps=steps[1],
    )


def _not_comparable(searched: int | None, trained: int | None) -> str:
    """Return a clause: why the loss of the lead is not given."""
    if searched is None or trained is None:
        return (
            "how much of that fresh seeds leave is not available, as the scores do not state the "
            "steps of the search and of the trainings"
        )
    return (
        f"how much of that fresh seeds leave is not available, as a training had {searched} steps "
        f"there and has {trained} here (`explore.fidelity: 1` makes them equal)"
    )
