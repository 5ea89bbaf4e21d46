"""Landscape of the search: which student positions affect the score, and how the score changes with
the distance from forward. It is computed from explore scores, so it is descriptive and tests
nothing. Weights of pairs are not part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from raykd.analysis.stats.paired import Array
from raykd.maps.layer_map import LayerMap

FEWEST = 8  # minimum number of maps for a landscape
PERMUTATIONS = 999
TREES = 32


@dataclass(frozen=True)
class Position:
    """A student block (1-based). `share`: share of the scores' variance that its choice explains by
    itself (fANOVA, Hutter et al. 2014, as in Optuna). `p`: permutation p-value, the probability
    that randomly assigned maps separate its blocks as much."""

    block: int
    share: float
    p: float


@dataclass(frozen=True)
class Place:
    """All maps that match a student block to a teacher block; None: to no block."""

    student: int
    teacher: int | None
    mean: float
    maps: int


@dataclass(frozen=True)
class Point:
    """An explored map. `inversions`: pairs of student blocks whose targets are in reversed order.
    `displacement`: mean distance of the targets from those of forward, in teacher blocks. `span`:
    highest minus lowest target, in teacher blocks. A set of targets counts as its mean block in the
    first two."""

    map: str
    score: float
    inversions: int
    displacement: float
    span: int


@dataclass(frozen=True)
class Trend:
    """Spearman's rank correlation of the score with one of a point's distances."""

    what: str
    rho: float
    p: float


@dataclass(frozen=True)
class Landscape:
    """`noise` is the share of the explore scores' variance due to seed noise, estimated from the
    confirmed arms on select; None if they do not suffice."""

    maps: int
    positions: tuple[Position, ...]
    noise: float | None
    places: tuple[Place, ...]
    points: tuple[Point, ...]
    trends: tuple[Trend, ...]
    encoder: int | None = None
    """Number of encoder blocks of an encoder-decoder student. Decoder blocks are numbered after
    them."""

    def label(self, block: int) -> str:
        """Return the display name of a student block: `2`, or `decoder 2`."""
        if self.encoder is None:
            return str(block)
        inside = block <= self.encoder
        return f"encoder {block}" if inside else f"decoder {block - self.encoder}"


def landscape(
    explored: Mapping[str, float], forward: str, confirmed: Array | None, sign: int = 1
) -> Landscape | None:
    """Return the landscape of the search, or None with fewer than eight maps or equal scores.

    explored: select score by map; forward: map of forward; confirmed: select scores [seeds, arms]
    of arms trained like the explored students."""
    parsed = [LayerMap.parse(m) for m in explored]
    maps = [_choices(m) for m in parsed]
    scores = np.array([sign * s for s in explored.values()])
    if len(maps) < FEWEST or not scores.std():
        return None
    target = LayerMap.parse(forward)
    points = tuple(
        Point(
            text,
            float(sign * score),
            sum(inversions(_centres(half)) for half in m.halves),
            displacement(_centres(m), _centres(target)),
            max(span([b for choice in _choices(half) for b in choice]) for half in m.halves),
        )
        for text, m, score in zip(explored, parsed, scores, strict=True)
    )
    return Landscape(
        maps=len(maps),
        positions=_positions(maps, scores),
        noise=_noise(confirmed, float(scores.var(ddof=1))),
        places=_places(maps, sign * scores),
        points=points,
        trends=_trends(points, scores),
        encoder=None if target.decoder is None else len(target.blocks),
    )


Blocks = Sequence[float | None]
"""The target of each student block."""
Choices = Sequence[tuple[int, ...]]
"""The teacher blocks that each student block imitates."""


def _choices(layer_map: LayerMap) -> Choices:
    """Return the choices of both stacks, the encoder first."""
    return [
        tuple(t.block for t in of_block) for half in layer_map.halves for of_block in half.targets
    ]


def _centres(layer_map: LayerMap) -> Blocks:
    """Return the mean target of each block of both stacks."""
    return [sum(choice) / len(choice) if choice else None for choice in _choices(layer_map)]


def inversions(blocks: Blocks) -> int:
    """Return the number of inversions: 0 for `[4, 8, 12]`, 3 for its reverse. Unmatched blocks do
    not count."""
    targets = [b for b in blocks if b is not None]
    return sum(a > b for i, a in enumerate(targets) for b in targets[i + 1 :])


def displacement(blocks: Blocks, forward: Blocks) -> float:
    """Return the mean distance over matched blocks, 0 without any."""
    pairs = zip(blocks, forward, strict=True)
    off = [abs(a - b) for a, b in pairs if a is not None and b is not None]
    return float(np.mean(off)) if off else 0.0


def span(blocks: Sequence[int]) -> int:
    return max(blocks) - min(blocks) if blocks else 0


def _positions(maps: Sequence[Choices], scores: Array) -> tuple[Position, ...]:
    shares, chances = _fanova(maps, scores), by_chance(maps, scores)
    return tuple(Position(i + 1, shares[f"map_{i + 1}"], p) for i, p in chances.items())


def by_chance(maps: Sequence[Sequence[object]], scores: Array) -> dict[int, float]:
    """Return the permutation p-value of each position (0-based) that has more than one block."""
    rng = np.random.default_rng(0)
    shuffled = rng.permuted(np.tile(scores, (PERMUTATIONS, 1)), axis=1)
    p_values = {}
    for i in range(len(maps[0])):
        blocks = list(dict.fromkeys(m[i] for m in maps))
        if len(blocks) < 2:
            continue
        groups = np.array([[m[i] == b for m in maps] for b in blocks])
        observed = _between(groups, scores[None])[0]
        chance = _between(groups, shuffled)
        # The observed assignment counts as one of the permutations (Phipson and Smyth 2010).
        p_values[i] = (1 + int((chance >= observed * (1 - 1e-12)).sum())) / (1 + PERMUTATIONS)
    return p_values


def _between(groups: Array, scores: Array) -> Array:
    """Return the sum of squares between the blocks of a position. groups: bool [blocks, maps]."""
    sums, sizes = scores @ groups.T, groups.sum(axis=1)
    return (sums**2 / sizes).sum(axis=1) - scores.sum(axis=1) ** 2 / groups.shape[1]


def _fanova(maps: Sequence[Choices], scores: Array) -> dict[str, float]:
    # Two seconds to import, with scikit-learn; a verdict without explored maps needs neither.
    import optuna
    from optuna.distributions import CategoricalDistribution
    from optuna.importance import FanovaImportanceEvaluator

    choices = {
        f"map_{i + 1}": CategoricalDistribution(list(dict.fromkeys(str(m[i]) for m in maps)))
        for i in range(len(maps[0]))
    }
    choices = {name: c for name, c in choices.items() if len(c.choices) > 1}
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    optuna.logging.set_verbosity(level)
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={f"map_{i + 1}": str(b) for i, b in enumerate(m)
                        if f"map_{i + 1}" in choices},
                distributions=choices,
                value=float(score),
            )
            for m, score in zip(maps, scores, strict=True)
        ]
    )  # fmt: skip
    shares = FanovaImportanceEvaluator(n_trees=TREES, seed=0).evaluate(study)
    return {name: float(share) for name, share in shares.items()}


def _noise(confirmed: Array | None, variance: float) -> float | None:
    """Return the share of seed noise in the variance. The search trains every map under one seed,
    so only the part of the noise that differs between arms enters the variance of its scores."""
    if confirmed is None or min(np.shape(confirmed)) < 2:
        return None
    y = np.asarray(confirmed, dtype=float)
    residual = y - y.mean(axis=0) - y.mean(axis=1)[:, None] + y.mean()
    df = (y.shape[0] - 1) * (y.shape[1] - 1)
    return min(1.0, float((residual**2).sum() / df / variance))


def _places(maps: Sequence[Choices], scores: Array) -> tuple[Place, ...]:
    by_place: dict[tuple[int, int | None], list[float]] = {}
    for choices, score in zip(maps, scores, strict=True):
        for student, choice in enumerate(choices, 1):
            for teacher in choice or (None,):
                by_place.setdefault((student, teacher), []).append(float(score))
    order = sorted(by_place, key=lambda k: (k[0], k[1] is None, k[1] or 0))
    return tuple(Place(s, t, float(np.mean(by_place[s, t])), len(by_place[s, t])) for s, t in order)


def _trends(points: Sequence[Point], scores: Array) -> tuple[Trend, ...]:
    result = []
    for distance in ("inversions", "displacement", "span"):
        values = [getattr(p, distance) for p in points]
        if len(set(values)) > 1:
            rho, p = stats.spearmanr(values, scores)
            result.append(Trend(distance, float(rho), float(p)))
    return tuple(result)
