"""Which maps explore tries next: Optuna proposes, and no map is ever proposed twice."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

from raykd.maps.layer_map import LayerMap
from raykd.search.space import AnySpace, Space

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Tried:
    """What became of an explored map: its select score, None where its trial failed of itself.
    A pruned trial's score is that of the step it was dropped at."""

    score: float | None
    pruned_at: int | None = None

    @property
    def final(self) -> float | None:
        """The score after the whole training, where there is one."""
        return None if self.pruned_at is not None else self.score


ASKS = 4  # asks per wanted map before the rest is drawn among the unseen
LONG = 500  # trials that a sampler knows, at most; see `_renew`
GOOD = 25  # of them, that TPE counts as good, at most


class Proposer:
    """Asks an Optuna sampler for distinct maps and tells it their select scores.

    Samplers repeat themselves on finite spaces (of 60 asks over 81 maps TPE gives 44 distinct),
    so a repeat is told the score it had, and what is missing is drawn uniformly among the unseen.
    Built from the results so far alone: a restart needs no state but the ledger's.
    """

    def __init__(
        self,
        space: AnySpace,
        sampler: str,
        seed: int,
        history: Iterable[tuple[LayerMap, Tried]] = (),
    ) -> None:
        self._tried = dict(history)
        # A resumed search must not draw again the numbers that it drew before.
        self._rng = Random(f"raykd explore {seed} {len(self._tried)}")
        self._space = space
        # Brute force is the uniform draw among the unseen, over and over: no sampler is asked.
        # (Optuna's own stops its study when it thinks that the space is used up.)
        self._asks = 0 if sampler == "brute_force" else ASKS
        self._renews = sampler in ("tpe", "gp")
        self._sampler = "random" if sampler == "brute_force" else sampler
        self._study = _study(self._sampler, self._rng.randrange(2**31))
        self._open: dict[LayerMap, optuna.Trial] = {}
        self._left = space.size() - sum(m in space for m in self._tried)
        self._distributions = _distributions(space)
        self._known, self._full = 0, LONG
        for layer_map, tried in self._worth_knowing(LONG):
            self._add(layer_map, tried)

    def ask(self, count: int) -> list[LayerMap]:
        """Up to `count` maps never asked or told before; fewer where the space is used up."""
        if self._renews and self._known > self._full:
            self._renew()
        count = min(count, self._left)
        found: list[LayerMap] = []
        for _ in range(self._asks * count):
            if len(found) == count:
                break
            trial = self._study.ask(self._distributions)
            self._known += 1
            layer_map = _decode(self._space, trial.params)
            known = self._tried.get(layer_map)
            if known is not None and known.final is not None:
                self._study.tell(trial, known.final)
            elif known is not None or layer_map in self._open or layer_map not in self._space:
                self._study.tell(trial, state=_failed())
            else:
                self._open[layer_map] = trial
                self._left -= 1
                found.append(layer_map)
        if len(found) < count:
            seen = {*self._open, *self._tried}
            for layer_map in self._space.unseen(seen, count - len(found), self._rng):
                self.reserve(layer_map)
                found.append(layer_map)
        return found

    def _worth_knowing(self, most: int) -> list[tuple[LayerMap, Tried]]:
        """All that was tried, in its order; where that is more, the best, and others at random."""
        told = list(self._tried.items())
        if not self._renews or len(told) <= most:
            return told
        best = set(self.best(GOOD))
        others = [m for m in self._tried if m not in best]
        kept = best.union(self._rng.sample(others, LONG // 2 - len(best)))
        return [(m, tried) for m, tried in told if m in kept]

    def _renew(self) -> None:
        """Go on in a study of half the length, since what TPE and GP take for a proposal grows with
        what they know: with 10,000 trials TPE takes a quarter of a second for each map."""
        self._study = _study(self._sampler, self._rng.randrange(2**31))
        self._known = 0
        for layer_map, tried in self._worth_knowing(LONG // 2):
            self._add(layer_map, tried)
        for layer_map in self._open:
            self._enqueue(layer_map)
        # Open maps must be known; where they are many, a study is not renewed at every proposal.
        self._full = max(LONG, self._known + LONG // 2)

    def reserve(self, layer_map: LayerMap) -> None:
        """Count a map as asked, without the sampler's say."""
        self._left -= layer_map in self._space
        self._enqueue(layer_map)

    def _enqueue(self, layer_map: LayerMap) -> None:
        self._study.enqueue_trial(_encode(self._space, layer_map))
        self._open[layer_map] = self._study.ask(self._distributions)
        self._known += 1

    def waits_for(self, layer_map: LayerMap) -> bool:
        """Whether this map was asked and not told yet."""
        return layer_map in self._open

    def tell(self, layer_map: LayerMap, tried: Tried) -> None:
        """What became of a map that was asked."""
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
        self._known += 1
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
    """The best explored maps, best first; ties by the map's text, so that all readers agree.
    Only whole trainings count."""
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
"""The prefix of one stack's parameters, and that stack's space."""


def _stacks(space: AnySpace) -> list[Parameter]:
    """Of halves that are tied, the encoder's alone is searched."""
    if isinstance(space, Space):
        return [("map", space)]
    return [("map", space.encoder), *([] if space.tie else [("decoder", space.decoder)])]


def _distributions(space: AnySpace) -> dict[str, optuna.distributions.BaseDistribution]:
    """One integer a student block. Integers and not categories, since near blocks are alike and
    the samplers can use that; 0 stands for unmatched."""
    import optuna

    found: dict[str, optuna.distributions.BaseDistribution] = {}
    for prefix, half in _stacks(space):
        low, high = 0 if half.skip else 1, half.teacher
        if half.kind == "in_order" and not half.skip:
            high = half.teacher - half.student + 1  # block k is at least k: see _half
        for i in range(1, half.student + 1):
            found[f"{prefix}_{i}"] = optuna.distributions.IntDistribution(low, high)
    return found


def _decode(space: AnySpace, params: dict[str, int]) -> LayerMap:
    encoder, *decoder = (_half(half, prefix, params) for prefix, half in _stacks(space))
    if isinstance(space, Space):
        return encoder
    return replace(encoder, decoder=decoder[0]) if decoder else space.tied(encoder)


def _half(space: Space, prefix: str, params: dict[str, int]) -> LayerMap:
    """In order, the sorted draws with block k moved up by k - 1: every in-order map, no other."""
    drawn = [params[f"{prefix}_{i}"] for i in range(1, space.student + 1)]
    if space.kind == "in_order" and not space.skip:
        drawn = [block + i for i, block in enumerate(sorted(drawn))]
    return LayerMap(tuple(b or None for b in drawn))


def _encode(space: AnySpace, layer_map: LayerMap) -> dict[str, int]:
    found: dict[str, int] = {}
    for (prefix, half), part in zip(_stacks(space), layer_map.halves, strict=False):
        blocks = [b or 0 for b in part.blocks]
        if half.kind == "in_order" and not half.skip:
            blocks = [block - i for i, block in enumerate(blocks)]
        found |= {f"{prefix}_{i}": block for i, block in enumerate(blocks, 1)}
    return found
