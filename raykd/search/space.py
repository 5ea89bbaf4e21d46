"""The space of layer maps that explore searches: size, members and uniform draws."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from typing import Literal

from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap
from raykd.maps.strategies import StackTie
from raykd.maps.targets import Target
from raykd.search.weights import draw_weight, two_digits

COVERABLE = 100_000  # spaces up to this size are enumerated to draw unseen maps


@dataclass(frozen=True)
class Space:
    """Maps of `student` blocks onto `teacher` blocks.

    `any`: each student block imitates any teacher block. `in_order`: the teacher blocks strictly
    increase. `skip`: student blocks may also be unmatched. `targets`: most teacher blocks of one
    student block, for `any`. `weights`: limits of the weight of each pair, which has two digits
    (search/weights.py).
    """

    teacher: int
    student: int
    kind: Literal["any", "in_order"] = "any"
    skip: bool = False
    targets: int = 1
    weights: tuple[float, float] | None = None

    @property
    def most(self) -> int:
        """Most targets of one student block, which cannot exceed the teacher's blocks."""
        return min(self.targets, self.teacher)

    @property
    def _grid(self) -> tuple[float, ...]:
        return (1.0,) if self.weights is None else two_digits(*self.weights)

    def size(self) -> int:
        """Number of maps, without the map that matches nothing."""
        weights = len(self._grid)
        if self.kind == "any":
            counts = range(1, self.most + 1)
            sets: int = sum(math.comb(self.teacher, k) * weights**k for k in counts)
            return int((sets + self.skip) ** self.student) - self.skip
        matched = range(1 if self.skip else self.student, self.student + 1)
        in_order: int = sum(
            math.comb(self.student, k) * math.comb(self.teacher, k) * weights**k for k in matched
        )
        return in_order

    def __iter__(self) -> Iterator[LayerMap]:
        for blocks in self._block_sets():
            if self.weights is None and self.most == 1:  # ten times as fast
                yield LayerMap(tuple(of_block[0] if of_block else None for of_block in blocks))
                continue
            matched = [(i, block) for i, of_block in enumerate(blocks) for block in of_block]
            for weights in itertools.product(self._grid, repeat=len(matched)):
                sets: list[list[Target]] = [[] for _ in blocks]
                for (i, block), weight in zip(matched, weights, strict=True):
                    sets[i].append(Target(block, weight))
                yield LayerMap.of(of_block or None for of_block in sets)

    def _block_sets(self) -> Iterator[tuple[tuple[int, ...], ...]]:
        """The teacher blocks of each student block, without weights."""
        blocks = range(1, self.teacher + 1)
        if self.kind == "any":
            counts = range(0 if self.skip else 1, self.most + 1)
            sets = [s for k in counts for s in itertools.combinations(blocks, k)]
            yield from (maps for maps in itertools.product(sets, repeat=self.student) if any(maps))
            return
        for matched in range(1 if self.skip else self.student, self.student + 1):
            for places in itertools.combinations(range(self.student), matched):
                for chosen in itertools.combinations(blocks, matched):
                    targets = dict(zip(places, chosen, strict=True))
                    yield tuple((targets[i],) if i in targets else () for i in range(self.student))

    def __contains__(self, layer_map: LayerMap) -> bool:
        targets = [target for of_block in layer_map.targets for target in of_block]
        counts = [len(of_block) for of_block in layer_map.targets]
        return (
            layer_map.decoder is None
            and len(counts) == self.student
            and bool(targets)
            and (self.skip or min(counts) > 0)
            and max(counts) <= self.most
            and max(t.block for t in targets) <= self.teacher
            and not layer_map.pair_losses
            and {t.weight for t in targets} <= set(self._grid)
            and (
                self.kind == "any"
                or (max(counts) == 1 and all(a.block < b.block for a, b in pairwise(targets)))
            )
        )

    def draw(self, rng: Random) -> LayerMap:
        """Draws one map uniformly. With `weights`, its blocks are uniform among the maps without
        weights, and the logarithm of each weight is uniform."""
        blocks = self._draw_blocks(rng)
        if self.weights is None:
            return LayerMap.of(of_block or None for of_block in blocks)
        return LayerMap.of(
            [Target(block, draw_weight(*self.weights, rng)) for block in of_block] or None
            for of_block in blocks
        )

    def _draw_blocks(self, rng: Random) -> list[list[int]]:
        if self.kind == "any" and self.targets == 1:
            low = 0 if self.skip else 1
            while True:
                drawn = [rng.randint(low, self.teacher) for _ in range(self.student)]
                if any(drawn):
                    return [[block] if block else [] for block in drawn]
        teacher = range(1, self.teacher + 1)
        if self.kind == "any":
            counts = range(0 if self.skip else 1, self.most + 1)
            weights = [math.comb(self.teacher, k) for k in counts]
            while True:
                sizes = rng.choices(counts, weights, k=self.student)
                if any(sizes):
                    return [rng.sample(teacher, size) for size in sizes]
        matched = self.student
        if self.skip:
            counts = range(1, self.student + 1)
            weights = [math.comb(self.student, k) * math.comb(self.teacher, k) for k in counts]
            matched = rng.choices(counts, weights)[0]
        places = sorted(rng.sample(range(self.student), matched))
        chosen = sorted(rng.sample(teacher, matched))
        targets = dict(zip(places, chosen, strict=True))
        return [[targets[i]] if i in targets else [] for i in range(self.student)]

    def unseen(self, seen: Collection[LayerMap], count: int, rng: Random) -> list[LayerMap]:
        """Draws up to `count` distinct maps uniformly from those that are not in `seen`.

        Returns fewer only if the space has no more.
        """
        return _unseen(self, seen, count, rng)


@dataclass(frozen=True)
class TwoStacks:
    """Maps of an encoder-decoder: a map of each space, or tied halves (maps/strategies.py)."""

    encoder: Space
    decoder: Space
    tie: StackTie | None = None

    def size(self) -> int:
        """Number of maps; each half matches at least one block."""
        return self.encoder.size() * (1 if self.tie else self.decoder.size())

    def __iter__(self) -> Iterator[LayerMap]:
        if self.tie:
            return (self.tied(half) for half in self.encoder)
        both = itertools.product(self.encoder, self.decoder)
        return (replace(encoder, decoder=decoder) for encoder, decoder in both)

    def __contains__(self, layer_map: LayerMap) -> bool:
        if layer_map.decoder is None:
            return False
        encoder, decoder = layer_map.halves
        if self.tie:
            return encoder in self.encoder and layer_map == self.tied(encoder)
        return encoder in self.encoder and decoder in self.decoder

    def draw(self, rng: Random) -> LayerMap:
        """Draws one map uniformly."""
        half = self.encoder.draw(rng)
        return self.tied(half) if self.tie else replace(half, decoder=self.decoder.draw(rng))

    def tied(self, half: LayerMap) -> LayerMap:
        """The map with this encoder half, if the decoder's half follows from it."""
        return replace(half, decoder=half.upside_down if self.tie == "mirrored" else half)

    def unseen(self, seen: Collection[LayerMap], count: int, rng: Random) -> list[LayerMap]:
        """See `Space.unseen`."""
        return _unseen(self, seen, count, rng)


AnySpace = Space | TwoStacks


def space_of(
    teacher: Depth, student: Depth, kind: Literal["any", "in_order"] = "any", skip: bool = False,
    tie: StackTie | None = None, targets: int = 1, weights: tuple[float, float] | None = None,
) -> AnySpace:  # fmt: skip
    """The space of maps between models of these depths."""
    stacks = zip(teacher.stacks, student.stacks, strict=True)
    encoder, *decoder = (Space(t, s, kind, skip, targets, weights) for t, s in stacks)
    return TwoStacks(encoder, decoder[0], tie) if decoder else encoder


def _unseen(space: AnySpace, seen: Collection[LayerMap], count: int, rng: Random) -> list[LayerMap]:
    excluded = set(seen)
    if space.size() <= COVERABLE:
        remaining = [m for m in space if m not in excluded]
        return rng.sample(remaining, min(count, len(remaining)))
    # In a larger space repeats are rare: draw again.
    maps: list[LayerMap] = []
    while len(maps) < count:
        layer_map = space.draw(rng)
        if layer_map not in excluded:
            excluded.add(layer_map)
            maps.append(layer_map)
    return maps
