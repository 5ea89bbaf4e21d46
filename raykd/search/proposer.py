"""Proposes the maps that explore tries next, by Optuna samplers; no map is proposed twice."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

from raykd.maps.layer_map import LayerMap
from raykd.maps.targets import Target
from raykd.search.space import AnySpace, Space
from raykd.search.weights import rounded

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Tried:
    """Result of an explored map: its select score, negated if smaller is better, or None if the
    trial itself failed. The score of a pruned trial is that of the step at which it was pruned."""

    score: float | None
    pruned_at: int | None = None

    @property
    def final(self) -> float | None:
        """The score after the whole training; None for pruned trials."""
        return None if self.pruned_at is not None else self.score


ASKS = 4  # asks per requested map before the rest is drawn from the unseen maps
LONG = 500  # most trials in the study of a sampler; see `_renew`
GOOD = 25  # most trials that TPE counts as good


class Proposer:
    """Asks an Optuna sampler for distinct maps and tells it their select scores.

    Samplers repeat themselves in finite spaces (60 asks of TPE over 81 maps give 44 distinct ones).
    A repeated map is told the score that it has, and missing maps are drawn uniformly from the
    unseen ones. The state depends only on the results so far, so a restart needs no state except
    the ledger.
    """

    def __init__(
        self,
        space: AnySpace,
        sampler: str,
        seed: int,
        history: Iterable[tuple[LayerMap, Tried]] = (),
    ) -> None:
        self._tried = dict(history)
        # A resumed search must not repeat the random numbers that it has drawn before.
        self._rng = Random(f"raykd explore {seed} {len(self._tried)}")
        self._space = space
        # Brute force draws uniformly from the unseen maps and asks no sampler. (Optuna's own
        # sampler stops the study when it considers the space exhausted.)
        self._asks = 0 if sampler == "brute_force" else ASKS
        self._renews = sampler in ("tpe", "gp")
        self._sampler = "random" if sampler == "brute_force" else sampler
        self._study = _study(self._sampler, self._rng.randrange(2**31))
        self._open: dict[LayerMap, optuna.Trial] = {}
        self._left = space.size() - sum(m in space for m in self._tried)
        self._distributions = _distributions(space)
        self._study_size, self._full = 0, LONG
        for layer_map, tried in self._informative(LONG):
            self._add(layer_map, tried)

    def ask(self, count: int) -> list[LayerMap]:
        """Up to `count` maps that were never asked or told before; fewer if the space is
        exhausted."""
        if self._renews and self._study_size > self._full:
            self._renew()
        count = min(count, self._left)
        maps: list[LayerMap] = []
        for _ in range(self._asks * count):
            if len(maps) == count:
                break
            trial = self._study.ask(self._distributions)
            self._study_size += 1
            layer_map = _decode(self._space, trial.params)
            previous = self._tried.get(layer_map)
            if previous is not None and previous.final is not None:
                self._study.tell(trial, previous.final)
            elif previous is not None or layer_map in self._open or layer_map not in self._space:
                self._study.tell(trial, state=_failed())
            else:
                self._open[layer_map] = trial
                self._left -= 1
                maps.append(layer_map)
        if len(maps) < count:
            excluded = {*self._open, *self._tried}
            for layer_map in self._space.unseen(excluded, count - len(maps), self._rng):
                self.reserve(layer_map)
                maps.append(layer_map)
        return maps

    def _informative(self, limit: int) -> list[tuple[LayerMap, Tried]]:
        """All tried maps in order; if there are more than `limit`, the best ones and a random
        sample of the others."""
        history = list(self._tried.items())
        if not self._renews or len(history) <= limit:
            return history
        best = set(self.best(GOOD))
        others = [m for m in self._tried if m not in best]
        selected = best.union(self._rng.sample(others, LONG // 2 - len(best)))
        return [(m, tried) for m, tried in history if m in selected]

    def _renew(self) -> None:
        """Continues in a new study of half the length, because the time that TPE and GP need for a
        proposal grows with the size of the study: with 10,000 trials TPE takes a quarter of a
        second for each map."""
        self._study = _study(self._sampler, self._rng.randrange(2**31))
        self._study_size = 0
        for layer_map, tried in self._informative(LONG // 2):
            self._add(layer_map, tried)
        for layer_map in self._open:
            self._enqueue(layer_map)
        # Open maps stay in the study; if there are many, it must not be renewed at every proposal.
        self._full = max(LONG, self._study_size + LONG // 2)

    def reserve(self, layer_map: LayerMap) -> None:
        """Counts a map as asked without asking the sampler."""
        self._left -= layer_map in self._space
        self._enqueue(layer_map)

    def _enqueue(self, layer_map: LayerMap) -> None:
        self._study.enqueue_trial(_encode(self._space, layer_map))
        self._open[layer_map] = self._study.ask(self._distributions)
        self._study_size += 1

    def waits_for(self, layer_map: LayerMap) -> bool:
        """Whether this map was asked and its result is not told yet."""
        return layer_map in self._open

    def tell(self, layer_map: LayerMap, tried: Tried) -> None:
        """Tells the result of a map that was asked."""
        import optuna

        trial = self._open.pop(layer_map)
        self._tried[layer_map] = tried
        if tried.score is None:
            self._study.tell(trial, state=_failed())
        elif tried.pruned_at is not None:
            trial.report(tried.score, tried.pruned_at)
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(trial, tried.score)

    def _add(self, layer_map: LayerMap, tried: Tried) -> None:
        import optuna

        if tried.score is None or layer_map not in self._space:
            return
        self._study_size += 1
        states = optuna.trial.TrialState
        pruned = tried.pruned_at is not None
        self._study.add_trial(
            optuna.trial.create_trial(
                state=states.PRUNED if pruned else states.COMPLETE,
                params=_encode(self._space, layer_map),
                distributions=self._distributions,
                value=tried.final,
                intermediate_values={tried.pruned_at: tried.score} if pruned else None,
            )
        )

    def best(self, count: int) -> list[LayerMap]:
        return best_maps(self._tried, count)


def best_maps(tried: Mapping[LayerMap, Tried], count: int) -> list[LayerMap]:
    """The best explored maps, best first; ties are broken by the text of the map, so that the order
    is reproducible. Pruned trainings do not count."""
    ranked = sorted((-t.final, str(m), m) for m, t in tried.items() if t.final is not None)
    return [m for _, _, m in ranked[:count]]


def _study(sampler: str, seed: int) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        samplers = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=True),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
            "cma_es": lambda: optuna.samplers.CmaEsSampler(seed=seed),
            "gp": lambda: optuna.samplers.GPSampler(seed=seed),
        }
        return optuna.create_study(direction="maximize", sampler=samplers[sampler]())


def _failed() -> optuna.trial.TrialState:
    import optuna

    return optuna.trial.TrialState.FAIL


Parameter = tuple[str, Space]
"""Prefix of the parameters of one stack, and the space of that stack."""


def _stacks(space: AnySpace) -> list[Parameter]:
    """The stacks to search; for tied halves, only the encoder."""
    if isinstance(space, Space):
        return [("map", space)]
    return [("map", space.encoder), *([] if space.tie else [("decoder", space.decoder)])]


def _distributions(space: AnySpace) -> dict[str, optuna.distributions.BaseDistribution]:
    """One integer for each student block; 0 means unmatched. Integers rather than categories,
    because neighbouring blocks are similar and samplers can use the order. Each further target has
    an integer of its own, and each target a weight if the space has weights."""
    from optuna.distributions import FloatDistribution, IntDistribution

    distributions: dict[str, optuna.distributions.BaseDistribution] = {}
    for prefix, half in _stacks(space):
        low, high = 0 if half.skip else 1, half.teacher
        if half.kind == "in_order" and not half.skip:
            high = half.teacher - half.student + 1  # block k is at least k; see _half
        for i in range(1, half.student + 1):
            distributions[f"{prefix}_{i}"] = IntDistribution(low, high)
        for i, j in _slots(half):
            if j > 1:
                distributions[f"{prefix}_{i}_{j}"] = IntDistribution(0, high)
            if half.weights is not None:
                distributions[f"{prefix}_{i}_{j}_weight"] = FloatDistribution(
                    *half.weights, log=True
                )
    return distributions


def _slots(half: Space) -> list[tuple[int, int]]:
    """Student block and number of each of its possible targets, from 1 on."""
    return [(i, j) for i in range(1, half.student + 1) for j in range(1, half.most + 1)]


def _decode(space: AnySpace, params: Mapping[str, float]) -> LayerMap:
    encoder, *decoder = (_half(half, prefix, params) for prefix, half in _stacks(space))
    if isinstance(space, Space):
        return encoder
    return replace(encoder, decoder=decoder[0]) if decoder else space.tied(encoder)


def _half(space: Space, prefix: str, params: Mapping[str, float]) -> LayerMap:
    """In order: block k is the k-th smallest value plus k - 1, which yields every in-order map and
    no other. A teacher block that is proposed twice for one student block is one target."""
    first = [int(params[f"{prefix}_{i}"]) for i in range(1, space.student + 1)]
    if space.kind == "in_order" and not space.skip:
        first = [block + i for i, block in enumerate(sorted(first))]
    sets: list[dict[int, Target]] = [{} for _ in first]
    for i, j in _slots(space):
        block = first[i - 1] if j == 1 else int(params[f"{prefix}_{i}_{j}"])
        weight = 1.0
        if space.weights is not None:
            weight = rounded(params[f"{prefix}_{i}_{j}_weight"], *space.weights)
        if block:
            sets[i - 1].setdefault(block, Target(block, weight))
    return LayerMap.of(list(of_block.values()) or None for of_block in sets)


def _encode(space: AnySpace, layer_map: LayerMap) -> dict[str, float]:
    params: dict[str, float] = {}
    for (prefix, half), part in zip(_stacks(space), layer_map.halves, strict=False):
        in_order = half.kind == "in_order" and not half.skip
        for i, j in _slots(half):
            targets = part.targets[i - 1]
            target = targets[j - 1] if j <= len(targets) else None
            name = f"{prefix}_{i}" if j == 1 else f"{prefix}_{i}_{j}"
            params[name] = 0 if target is None else target.block - (i - 1) * in_order
            if half.weights is not None:
                # An absent target has no weight: the middle of the limits says least.
                weight = math.sqrt(math.prod(half.weights)) if target is None else target.weight
                params[f"{prefix}_{i}_{j}_weight"] = weight
    return params
