"""Layer maps, as values and as text. Plain Python, no torch.

A layer map states, for each student block (1-based), which teacher blocks it imitates: usually one.
Teacher states are numbered as in the paper's `hs`: 0 is the embedding output, k is the output of
block k. A map for an encoder-decoder has two halves, one for each stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from raykd.maps.activations import Activation, Stack, state
from raykd.maps.depth import Depth
from raykd.maps.grid import Row, grid
from raykd.maps.targets import Target, Targets, as_range, entry_text, split
from raykd.maps.targets import targets as targets_of

Pair = tuple[Activation, Activation]
"""A matched state of the student, and the state of the teacher that it imitates."""

_HALVES = re.compile(r"\{\s*encoder:\s*(?P<encoder>.*?),\s*decoder:\s*(?P<decoder>\[.*?)\s*\}")
_TEXT = re.compile(
    r"\[(?P<entries>(?:[^\[\]]|\[[^\[\]]*\])*)\](?:\s*\+\s*embedding(?:\s+(?P<embedding>\d+))?)?"
)


@dataclass(frozen=True, slots=True)
class LayerMap:
    """The teacher state that each student block imitates.

    `blocks[i]` is the teacher block (1-based) that student block `i + 1` imitates, or None.
    `embedding` is the teacher state that the student's embedding output imitates (0 is the
    teacher's embedding output), or None if embeddings are not matched. With `upto`, student block
    `i + 1` imitates all blocks from `blocks[i]` to `upto[i]`. With `sets`, it imitates the targets
    `sets[i]`, which may have weights and losses of their own, and `blocks[i]` is the lowest of
    them. `LayerMap.of` writes the fields from entries. For an encoder-decoder these fields describe
    the encoder, and `decoder` is the half of the decoder, numbered in the same way.
    """

    blocks: tuple[int | None, ...]
    embedding: int | None = None
    decoder: LayerMap | None = None
    upto: tuple[int | None, ...] | None = None
    sets: tuple[Targets, ...] | None = None

    def __post_init__(self) -> None:
        self._normalise_sets()
        if not self.blocks:
            raise ValueError("a layer map needs at least one student block")
        for position, block in enumerate(self.blocks, 1):
            if block is not None and (type(block) is not int or block < 1):
                raise ValueError(
                    f"student block {position} names teacher block {block!r}; blocks are whole "
                    "numbers from 1 on"
                )
        if self.embedding is not None and (type(self.embedding) is not int or self.embedding < 0):
            raise ValueError("the embedding output imitates state 0 (embeddings) or a block from 1")
        if self.upto == self.blocks:
            object.__setattr__(self, "upto", None)  # equal maps have equal fields
        if self.upto is not None:
            ranges = list(zip(self.blocks, self.upto, strict=False))
            if (
                len(self.upto) != len(self.blocks)
                or any((a is None) != (b is None) for a, b in ranges)
                or any(type(b) is not int or b < a for a, b in ranges if a is not None)
            ):
                raise ValueError("a range of teacher blocks is written from its first to its last")
        if self.decoder is not None and self.decoder.decoder is not None:
            raise ValueError("a layer map has two halves at most, encoder and decoder")

    def _normalise_sets(self) -> None:
        """Equal maps have equal fields: sets that are blocks or ranges are stored as these."""
        if self.sets is None:
            return
        if self.upto is not None or len(self.sets) != len(self.blocks):
            raise ValueError("a layer map has one set of teacher blocks for each student block")
        sets = tuple(targets_of(of_block or None) for of_block in self.sets)
        ranges = [as_range(of_block) if of_block else (None, None) for of_block in sets]
        blocks = tuple(of_block[0].block if of_block else None for of_block in sets)
        object.__setattr__(self, "blocks", blocks)
        object.__setattr__(self, "sets", sets if None in ranges else None)
        if self.sets is None:
            object.__setattr__(self, "upto", tuple(limits[1] for limits in ranges if limits))

    @classmethod
    def of(
        cls,
        entries: Iterable[object],
        embedding: int | None = None,
        decoder: LayerMap | None = None,
    ) -> LayerMap:
        """Return the map with these entries, one for each student block: a teacher block, None, a
        text such as `1-4`, `0.5*4` or `cosine(4)`, a `Target`, or a list of these.

        Raises ValueError for an entry that is none of these.
        """
        sets = tuple(targets_of(entry) for entry in entries)
        return cls((None,) * len(sets), embedding, decoder, sets=sets)

    @property
    def depth(self) -> Depth:
        return Depth(*(len(half.blocks) for half in self.halves))

    @property
    def halves(self) -> tuple[LayerMap, ...]:
        """A map for each stack; a map for one stack yields itself."""
        return (self,) if self.decoder is None else (replace(self, decoder=None), self.decoder)

    @property
    def bare(self) -> LayerMap:
        """The same map without matched embeddings."""
        return replace(self, embedding=None, decoder=self.decoder and self.decoder.bare)

    def pairs(self, stack: Stack = "encoder") -> tuple[Pair, ...]:
        """Matched (student state, teacher state) pairs, sorted by student state, those of the
        decoder last. `stack` names the stack that `blocks` describes."""
        return tuple((state(s, stack), state(t, stack)) for s, t in self.matched_blocks()) + (
            () if self.decoder is None else self.decoder.pairs("decoder")
        )

    def pair_terms(self) -> tuple[tuple[float, str | None], ...]:
        """Weight and hidden loss of each of `pairs()`, in their order; None: the trial's loss."""
        embedding = () if self.embedding is None else ((1.0, None),)
        terms = tuple((t.weight, t.loss) for of_block in self.targets for t in of_block)
        return (*embedding, *terms, *(self.decoder.pair_terms() if self.decoder else ()))

    @property
    def pair_losses(self) -> frozenset[str]:
        """The hidden losses that pairs have of their own."""
        return frozenset(loss for _, loss in self.pair_terms() if loss is not None)

    def matched_blocks(self) -> tuple[tuple[int, int], ...]:
        """Matched (student block, teacher block) pairs of the first half, sorted by student block;
        block 0 is the embedding output."""
        embedding = () if self.embedding is None else ((0, self.embedding),)
        matched = enumerate(self.targets, 1)
        return (*embedding, *((s, t.block) for s, of_block in matched for t in of_block))

    @property
    def targets(self) -> tuple[Targets, ...]:
        """The targets of each student block, sorted by teacher block."""
        if self.sets is not None:
            return self.sets
        ranges = zip(self.blocks, self.upto or self.blocks, strict=True)
        return tuple(
            () if a is None or b is None else tuple(Target(t) for t in range(a, b + 1))
            for a, b in ranges
        )

    @property
    def entries(self) -> tuple[str, ...]:
        """The targets of each student block as text: `4`, `1-12`, `[1, 0.5*4]` or `null`."""
        return tuple(map(entry_text, self.targets))

    @property
    def upside_down(self) -> LayerMap:
        """The same map with the first student block in place of the last, and so on."""
        return replace(
            self, blocks=self.blocks[::-1], upto=self.upto and self.upto[::-1],
            sets=self.sets and self.sets[::-1],
        )  # fmt: skip

    def picture(self, teacher: Depth | int | tuple[int, int], title: str = "") -> str:
        """The map drawn as text, one grid for each stack: a row for each student block, a column
        for each block of the teacher, and `emb` for embedding outputs.

        `teacher` is its number of blocks; for an encoder-decoder, (encoder, decoder). Raises
        ValueError if the map names blocks that the teacher does not have.
        """
        depth = Depth.of(teacher)
        if len(depth.stacks) != len(self.halves):
            raise ValueError(f"teacher: {depth}; write as many stacks as {self} has")
        if problem := check(self, depth, self.depth):
            raise ValueError(f"teacher: {problem}")
        names = ("",) if self.decoder is None else ("encoder", "decoder")
        grids = []
        for half, blocks, stack in zip(self.halves, depth.stacks, names, strict=True):
            rows = [] if half.embedding is None else [Row(0, (half.embedding,))]
            for block, of_block in enumerate(half.targets, 1):
                text = ", ".join(map(str, of_block)) if as_range(of_block) is None else ""
                rows.append(Row(block, tuple(t.block for t in of_block), text))
            caption = ", ".join(filter(None, (title, stack)))
            grids.append(grid(rows, blocks, f"{caption}  {half}".lstrip()))
        return "\n".join(grids)

    def __str__(self) -> str:
        if self.decoder is not None:
            encoder, decoder = self.halves
            return f"{{encoder: {encoder}, decoder: {decoder}}}"
        blocks = ", ".join(self.entries)
        if self.embedding is None:
            return f"[{blocks}]"
        target = f" {self.embedding}" if self.embedding else ""
        return f"[{blocks}] + embedding{target}"

    @classmethod
    def parse(cls, text: str) -> LayerMap:
        """Parses `[4, 8, null]`, `[1-12, 1-12]`, `[[1, 0.5*4], cosine(8)]` or `[4, 8, 12] +
        embedding`, the form that `str` writes; for two stacks, `{encoder: [4, 8, 12], decoder:
        [12, 8, 4]}`.

        Raises ValueError on anything else.
        """
        if halves := _HALVES.fullmatch(text.strip()):
            return replace(cls.parse(halves["encoder"]), decoder=cls.parse(halves["decoder"]))
        match = _TEXT.fullmatch(text.strip())
        if not match:
            raise ValueError(
                f"not a layer map: {text!r}; write it like [4, 8, 12] or [4, null, 12]"
            )
        try:
            sets = tuple(split(match["entries"]))
        except ValueError as error:
            raise ValueError(f"not a layer map: {text!r}; {error}") from None
        embedding = int(match["embedding"] or 0) if text.rstrip()[-1] != "]" else None
        return cls((None,) * len(sets), embedding, sets=sets)

    def to_json(self) -> dict[str, object]:
        """`{"map": [...], "embedding": bool}`, with further keys for an embedding target other than
        state 0, the ends of ranges, the targets of sets and the half of the decoder."""
        fields: dict[str, object] = {
            "map": list(self.blocks),
            "embedding": self.embedding is not None,
        }
        if self.embedding:
            fields["embedding_target"] = self.embedding
        if self.upto:
            fields["upto"] = list(self.upto)
        if self.sets is not None:
            fields["targets"] = [[t.to_json() for t in of_block] for of_block in self.sets]
        if self.decoder is not None:
            fields["decoder"] = self.decoder.to_json()
        return fields

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LayerMap:
        embedding = data.get("embedding_target", 0) if data["embedding"] else None
        decoder = cls.from_json(data["decoder"]) if "decoder" in data else None
        if "targets" in data:
            sets = ([Target(**t) for t in of_block] or None for of_block in data["targets"])
            return cls.of(sets, embedding, decoder)
        return cls(tuple(data["map"]), embedding, decoder, tuple(data.get("upto", data["map"])))


def everywhere(depth: Depth, block: int | None) -> LayerMap:
    """The map in which every student block imitates one teacher block, or none."""
    encoder, *decoder = (LayerMap((block,) * blocks) for blocks in depth.stacks)
    return replace(encoder, decoder=decoder[0] if decoder else None)


def check(layer_map: LayerMap, teacher: Depth, student: Depth) -> str | None:
    """The problem with a map for these depths, in one line; None if there is none."""
    if len(layer_map.halves) > len(student.stacks):
        return f"{layer_map} has a half for a decoder, the model has one stack; write a list"
    if len(layer_map.halves) < len(student.stacks):
        return (
            f"{layer_map} has no half for the decoder; write {{encoder: {layer_map}, "
            "decoder: [...]}"
        )
    names = ("",) if student.decoder is None else ("encoder ", "decoder ")
    halves = zip(layer_map.halves, teacher.stacks, student.stacks, names, strict=True)
    return next(filter(None, (_check(*half) for half in halves)), None)


def _check(layer_map: LayerMap, teacher: int, student: int, stack: str) -> str | None:
    entries = len(layer_map.blocks)
    if entries != student:
        return f"{layer_map} has {entries} entries, the student has {student} {stack}blocks"
    beyond = [t for _, t in layer_map.matched_blocks() if t > teacher]
    if beyond:
        return (
            f"{layer_map} names teacher block {beyond[0]}, the teacher has {teacher} {stack}blocks"
        )
    return None
