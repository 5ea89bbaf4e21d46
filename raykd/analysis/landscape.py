"""What a search over layer maps saw: scores by position and block, by distance from the forward
map, and how much of their spread each student position's choice explains.

Explored scores are selected and come from one seed: they describe a search, they test nothing.
"""

from __future__ import annotations

import itertools
import statistics
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from raykd.layermap import LayerMap, forward

FEWEST = 10  # maps below which importance would be the noise of a handful of points
SHUFFLES = 20
TREES, DEPTH = 16, 4  # a fifth of a second a forest at 216 maps; deeper ones rank no better


@dataclass(frozen=True)
class Point:
    """A finished explore trial: its map and its best select score, in the metric's units."""

    layer_map: LayerMap
    score: float

    def to_json(self) -> dict[str, Any]:
        return {"map": str(self.layer_map), "score": self.score}


@dataclass(frozen=True)
class Distance:
    """How far a map is from the forward map. 0 in the first two is forward's own order and place.

    `inversions`: pairs of student blocks whose teacher blocks stand in the other order.
    `displacement`: mean distance, in teacher blocks, from the block that forward names.
    `span`: teacher blocks between the lowest and the highest that the map names.
    """

    inversions: int
    displacement: float
    span: int


def distance(layer_map: LayerMap, teacher: int) -> Distance:
    """Raises ValueError for a map that matches nothing: it is at no distance from any."""
    named = [b for b in layer_map.blocks if b is not None]
    if not named:
        raise ValueError(f"{layer_map} matches nothing")
    straight = forward(teacher, layer_map.depth, 0).blocks
    moved = [
        abs(b - f) for b, f in zip(layer_map.blocks, straight, strict=True)
        if b is not None and f is not None
    ]  # fmt: skip
    return Distance(
        inversions=sum(a > b for a, b in itertools.combinations(named, 2)),
        displacement=statistics.fmean(moved),
        span=max(named) - min(named),
    )


@dataclass(frozen=True)
class Cell:
    """Maps in which student block `position` imitates teacher block `block` (None: nothing)."""

    position: int
    block: int | None
    mean: float
    maps: int


def cells(points: Iterable[Point]) -> tuple[Cell, ...]:
    """The mean score of each position and block that was tried."""
    scores: dict[tuple[int, int | None], list[float]] = {}
    for point in points:
        for position, block in enumerate(point.layer_map.blocks, 1):
            scores.setdefault((position, block), []).append(point.score)
    ordered = sorted(scores.items(), key=lambda item: (item[0][0], item[0][1] or 0))
    return tuple(
        Cell(position, block, statistics.fmean(found), len(found))
        for (position, block), found in ordered
    )


@dataclass(frozen=True)
class Importance:
    """The share of the explored scores' variance that one student position's choice explains.

    `by_chance` is the highest share of any position that scores shuffled among the maps reach
    in 19 of 20 cases: a share below it is no evidence that the position matters.
    """

    position: int
    share: float
    by_chance: float


@dataclass(frozen=True)
class Landscape:
    """A search: its points in the order they were tried, and what they add up to.

    `seed_share`: the variance that a change of seed alone brings, over the variance of the
    explored scores; None without replicated trials to tell it. It may exceed 1.
    """

    teacher: int
    points: tuple[Point, ...]
    cells: tuple[Cell, ...]
    importance: tuple[Importance, ...]
    seed_share: float | None

    @property
    def best(self) -> Point:
        """Ties go by the map's text, as in the search itself."""
        return min(self.points, key=lambda p: (-p.score, str(p.layer_map)))

    def to_json(self) -> dict[str, Any]:
        return {
            "teacher": self.teacher,
            "points": [
                {**p.to_json(), **asdict(distance(p.layer_map, self.teacher))} for p in self.points
            ],
            "cells": [asdict(c) for c in self.cells],
            "importance": [asdict(i) for i in self.importance],
            "seed_share": self.seed_share,
        }


def survey(
    teacher: int, points: Sequence[Point], replicates: Iterable[Sequence[float]] = ()
) -> Landscape | None:
    """The landscape of these points; None without any. `replicates`: select scores of trials that
    differ in nothing but the seed, a group for each arm."""
    if not points:
        return None
    return Landscape(
        teacher, tuple(points), cells(points), importance(points), _seed_share(points, replicates)
    )


def _seed_share(points: Sequence[Point], replicates: Iterable[Sequence[float]]) -> float | None:
    """The pooled variance within the groups over the variance of the points."""
    groups = [g for g in replicates if len(g) > 1]
    freedom = sum(len(g) - 1 for g in groups)
    spread = statistics.variance([p.score for p in points]) if len(points) > 1 else 0.0
    if not freedom or not spread:
        return None
    return sum(statistics.variance(g) * (len(g) - 1) for g in groups) / freedom / spread


def importance(points: Sequence[Point]) -> tuple[Importance, ...]:
    """Main effects by functional ANOVA over a random forest (Hutter et al. 2014, in Optuna); the
    rest of the variance is the positions' interplay and noise. Empty for fewer than FEWEST points
    or without any spread."""
    scores = [p.score for p in points]
    if len(points) < FEWEST or len(set(scores)) == 1:
        return ()
    maps = [p.layer_map for p in points]
    found, rng, highest = _shares(maps, scores), Random(0), []
    for _ in range(SHUFFLES):
        rng.shuffle(scores)
        highest.append(max(_shares(maps, scores).values()))
    by_chance = sorted(highest)[-2]  # of 20, one lies above
    return tuple(Importance(position, share, by_chance) for position, share in found.items())


def _shares(maps: Sequence[LayerMap], scores: Sequence[float]) -> dict[int, float]:
    import optuna
    from optuna.distributions import CategoricalDistribution

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tried = [sorted({m.blocks[i] or 0 for m in maps}) for i in range(maps[0].depth)]
    # A position that was never varied explains nothing, and Optuna leaves it out.
    distributions = {f"{i}": CategoricalDistribution(t) for i, t in enumerate(tried, 1)}
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        optuna.create_trial(
            params={f"{i}": b or 0 for i, b in enumerate(m.blocks, 1)},
            distributions=distributions,
            value=score,
        )
        for m, score in zip(maps, scores, strict=True)
    )
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, max_depth=DEPTH, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of `normalize`
        found = optuna.importance.get_param_importances(study, evaluator=evaluator, normalize=False)
    return {i: float(found.get(f"{i}", 0.0)) for i in range(1, maps[0].depth + 1)}
