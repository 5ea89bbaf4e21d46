"""The hidden weight as a factor: a cell for each weight, and a tuned cell with the best weight of
each strategy.

"No difference" at a single weight is weak evidence: the weight may be too small for any map to
matter, or too large for one of them. Each strategy is tried at the same weights, so all are tuned
equally, and its weight is chosen on select, without the test rows that are judged.

A weight that was chosen under the seeds that are judged favours the strategy all the same: the
students that were lucky on select were so on test, and an arm without a weight had a single try.
The weight of a seed is therefore chosen by the seeds before it. Given those, the score is that of a
fixed weight, so a sum over seeds has no drift where nothing is gained. Leaving out the judged seed
alone (or one half) does not suffice: two seeds that choose for each other are correlated
(benchmarks/tuned.py).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from raykd.analysis.scores.scores import Problem, Score

TUNED = "tuned"
Arm = tuple[str | None, str | None, str | None, str | None]
"""(task, init, shape, strategy)"""


def label(weight: float) -> str:
    return f"{weight:g}"


def several_weights(pairs: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return the schedules under which the weight is a factor, from (schedule, weight)."""
    weights: dict[str, set[str]] = {}
    for schedule, weight in pairs:
        weights.setdefault(schedule, set()).add(weight)
    return frozenset(schedule for schedule, here in weights.items() if len(here - {""}) > 1)


def over_weights(
    items: Sequence[Score], problems: Sequence[Problem], larger_is_better: bool
) -> tuple[tuple[Score, ...], tuple[Problem, ...]]:
    """Return scores and problems, by schedule, tuned first, then by weight. An arm without a weight
    matches nothing and is in every cell. With fewer than two weights under a schedule, the weight
    is not a factor there."""
    scores, unfinished = list[Score](), list[Problem]()
    schedules = [*(s.schedule for s in items), *(p.schedule for p in problems)]
    for schedule in dict.fromkeys(schedules):
        here = _over_weights(
            [s for s in items if s.schedule == schedule],
            [p for p in problems if p.schedule == schedule], larger_is_better,
        )  # fmt: skip
        scores += here[0]
        unfinished += here[1]
    return tuple(scores), tuple(unfinished)


def _over_weights(
    items: Sequence[Score], problems: Sequence[Problem], larger_is_better: bool
) -> tuple[tuple[Score, ...], tuple[Problem, ...]]:
    labels = {s.weight for s in items} | {p.weight for p in problems}
    weights = sorted(labels - {""}, key=lambda w: (_number(w), w))
    if len(weights) < 2:
        return (
            tuple(replace(s, weight="") for s in items),
            tuple(replace(p, weight="") for p in problems),
        )
    fixed = [replace(s, weight=w) for w in weights for s in items if s.weight in ("", w)]
    unfinished = [replace(p, weight=w) for w in weights for p in problems if p.weight in ("", w)]
    if all(s.select is None for s in items):
        return tuple(fixed), tuple(unfinished)
    tuned, untuned = _tuned(items, problems, weights, larger_is_better)
    return (*tuned, *fixed), (*unfinished, *untuned)


def _tuned(
    items: Sequence[Score],
    problems: Sequence[Problem],
    weights: Sequence[str],
    larger_is_better: bool,
) -> tuple[list[Score], list[Problem]]:
    """Return the scores and problems of the tuned cells. The first seed of each cell chooses only;
    no arm is judged under it."""
    first: dict[tuple[str | None, ...], int] = {}
    for s in items:
        cell = (s.task, s.init, s.shape)
        first[cell] = min(s.seed, first.get(cell, s.seed))
    tuned: list[Score] = []
    unfinished = [
        replace(p, weight=TUNED, seeds=tuple(
            s for s in p.seeds if s != first.get((p.task, p.init, p.shape))
        ))
        for p in problems if not p.weight
    ]  # fmt: skip
    arms: dict[Arm, list[Score]] = {}
    for s in items:
        arms.setdefault((s.task, s.init, s.shape, s.strategy), []).append(s)
    without: dict[Arm, Problem] = {
        (p.task, p.init, p.shape, p.strategy): p for p in problems if p.weight
    }
    for key in dict.fromkeys([*arms, *without]):
        arm = [s for s in arms.get(key, []) if s.seed != first.get(key[:3])]
        if arm and not arm[0].weight:
            tuned += [replace(s, weight=TUNED) for s in arm]
            continue
        choices = _choices(arms.get(key, []), weights, larger_is_better)
        tuned += [
            replace(s, weight=TUNED, chosen=s.weight)
            for s in arm if s.weight == choices.get(s.seed)
        ]  # fmt: skip
        if not choices and (arm or key in without):
            stated = arm[0] if arm else without[key]
            says = f"{key[3]} is not tuned: under no seed has it a select score at every weight"
            unfinished.append(
                Problem("missing", says, *key, control=stated.control, weight=TUNED,
                        schedule=stated.schedule)
            )  # fmt: skip
    return tuned, unfinished


def _choices(
    arm: Iterable[Score], weights: Sequence[str], larger_is_better: bool
) -> Mapping[int, str]:
    """Return the weight of each seed: the one with the best mean on select over the seeds before it
    that have every weight, the smallest of equal ones. Seeds without such a seed have none."""
    by_seed: dict[int, dict[str, float]] = {}
    for s in arm:
        scores = by_seed.setdefault(s.seed, {})
        if s.select is not None:
            scores[s.weight] = s.select if larger_is_better else -s.select
    choices: dict[int, str] = {}
    complete: list[Mapping[str, float]] = []
    for seed, scores in sorted(by_seed.items()):
        if complete:
            means = {w: statistics.fmean(c[w] for c in complete) for w in weights}
            choices[seed] = max(means, key=means.__getitem__)
        if len(scores) == len(weights):
            complete.append(scores)
    return choices


def _number(weight: str) -> float:
    try:
        return float(weight)
    except ValueError:
        return float("inf")
