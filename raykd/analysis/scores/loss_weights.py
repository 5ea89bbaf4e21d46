"""The hidden weight as a factor: a cell for each weight, and a tuned cell with the best weight of
each strategy.

"No difference" at a single weight is weak evidence: the weight may be too small for any map to
matter, or too large for one of them. Each strategy is tried at the same weights, so all are tuned
equally, and its best weight is chosen on select, without the test rows that are judged.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace

from raykd.analysis.scores.scores import Problem, Score

TUNED = "tuned"
Arm = tuple[str | None, str | None, str | None, str | None]
"""(task, init, shape, strategy)"""


def label(weight: float) -> str:
    return f"{weight:g}"


def over_weights(
    items: Sequence[Score], problems: Sequence[Problem], larger_is_better: bool
) -> tuple[tuple[Score, ...], tuple[Problem, ...]]:
    """Return scores and problems, tuned first, then by weight. An arm without a weight matches
    nothing and is in every cell. With fewer than two weights the weight is not a factor."""
    labels = {s.weight for s in items} | {p.weight for p in problems}
    weights = sorted(labels - {""}, key=lambda w: (_number(w), w))
    if len(weights) < 2:
        return (
            tuple(replace(s, weight="") for s in items),
            tuple(replace(p, weight="") for p in problems),
        )
    fixed = [replace(s, weight=w) for w in weights for s in items if s.weight in ("", w)]
    unfinished = [
        replace(p, weight=w) for w in (*weights, TUNED) for p in problems if p.weight in ("", w)
    ]
    if all(s.select is None for s in items):
        return tuple(fixed), tuple(unfinished)
    tuned: list[Score] = []
    arms: dict[Arm, list[Score]] = {}
    for s in items:
        arms.setdefault((s.task, s.init, s.shape, s.strategy), []).append(s)
    without: dict[Arm, Problem] = {
        (p.task, p.init, p.shape, p.strategy): p for p in problems if p.weight
    }
    for key in dict.fromkeys([*arms, *without]):
        arm = arms.get(key, [])
        best = "" if arm and not arm[0].weight else _best(arm, weights, larger_is_better)
        tuned += [replace(s, weight=TUNED, chosen=best or "") for s in arm if s.weight == best]
        if best is None:
            first = arm[0] if arm else without[key]
            says = f"{key[3]} is not tuned: under no seed has it a select score at every weight"
            unfinished.append(Problem("missing", says, *key, control=first.control, weight=TUNED))
    return (*tuned, *fixed), tuple(unfinished)


def _best(arm: Iterable[Score], weights: Sequence[str], larger_is_better: bool) -> str | None:
    """Return the weight with the best mean on select, over the seeds that have every weight; the
    smallest of equal ones. None without such a seed."""
    by_weight: dict[str, dict[int, float]] = {w: {} for w in weights}
    for s in arm:
        if s.select is not None:
            by_weight[s.weight][s.seed] = s.select
    seeds = set.intersection(*(set(by_seed) for by_seed in by_weight.values()))
    if not seeds:
        return None
    means = {w: statistics.fmean(by_weight[w][seed] for seed in seeds) for w in weights}
    return (
        max(means, key=means.__getitem__) if larger_is_better else min(means, key=means.__getitem__)
    )


def _number(weight: str) -> float:
    try:
        return float(weight)
    except ValueError:
        return float("inf")
