"""The space of layer maps that explore searches: size, members and uniform draws."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap
from raykd.maps.strategies import StackTie

COVERABLE = 100_000  # spaces up to this size are enumerated to draw unseen maps


@dataclass(frozen=True)
class Space:
    """Maps of `student` blocks onto `teacher` blocks.

    `any`: each student block imitates any teacher block. `in_order`: the teacher blocks strictly
    increase. `skip`: student blocks may also be unmatched.
    """

    teacher: int
    student: int
    kind: Literal["any", "in_order"] = "any"
    skip: bool = False

    def size(self) -> int:
        """Number of maps, without the map that matches nothing."""
        if self.kind == "any":
            whole: int = (self.teacher + self.skip) ** self.student
            return whole - self.skip
        if not self.skip:
            return math.comb(self.teacher, self.student)
        return sum(
            math.comb(self.student, k) * math.comb(self.teacher, k)
            for k in range(1, self.student + 1)
        )

    def __iter__(self) -> Iterator[LayerMap]:
        blocks: list[int | None] = list(range(1, self.teacher + 1))
        if self.kind == "any":
            choices = [None, *blocks] if self.skip else blocks
            for combination in itertools.product(choices, repeat=self.student):
                if any(combination):
                    yield LayerMap(combination)
            return
        for matched in range(1 if self.skip else self.student, self.student + 1):
            for places in itertools.combinations(range(self.student), matched):
                for chosen in itertools.combinations(blocks, matched):
                    targets = dict(zip(places, chosen, strict=True))
                    yield LayerMap(tuple(targets.get(i) for i in range(self.student)))

    def __contains__(self, layer_map: LayerMap) -> bool:
        targets = [b for b in layer_map.blocks if b is not None]
        return (
            layer_map.decoder is None
            and len(layer_map.blocks) == self.student
            and bool(targets)
            and (self.skip or len(targets) == self.student)
            and max(targets) <= self.teacher
            and (self.kind == "any" or all(a < b for a, b in itertools.pairwise(targets)))
        )

    def draw(self, rng: Random) -> LayerMap:
        """Draws one map uniformly."""
        if self.kind == "any":
            low = 0 if self.skip else 1
            while True:
                drawn = [rng.randint(low, self.teacher) for _ in range(self.student)]
                if any(drawn):
                    return LayerMap(tuple(b or None for b in drawn))
        matched = self.student
        if self.skip:
            counts = range(1, self.student + 1)
            weights = [math.comb(self.student, k) * math.comb(self.teacher, k) for k in counts]
            matched = rng.choices(counts, weights)[0]
        places = sorted(rng.sample(range(self.student), matched))
        chosen = sorted(rng.sample(range(1, self.teacher + 1), matched))
        targets = dict(zip(places, chosen, strict=True))
        return LayerMap(tuple(targets.get(i) for i in range(self.student)))

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
        blocks = half.blocks[::-1] if self.tie == "mirrored" else half.blocks
        return replace(half, decoder=replace(half, blocks=blocks))

    def unseen(self, seen: Collection[LayerMap], count: int, rng: Random) -> list[LayerMap]:
        """See `Space.unseen`."""
        return _unseen(self, seen, count, rng)


AnySpace = Space | TwoStacks


def space_of(
    teacher: Depth, student: Depth, kind: Literal["any", "in_order"] = "any", skip: bool = False,
    tie: StackTie | None = None,
) -> AnySpace:  # fmt: skip
    """The space of maps between models of these depths."""
    stacks = zip(teacher.stacks, student.stacks, strict=True)
    encoder, *decoder = (Space(t, s, kind, skip) for t, s in stacks)
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
