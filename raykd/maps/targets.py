"""The teacher blocks that a student block imitates: as values, as text and as JSON.

An entry of a layer map is `4`, `null`, all blocks of a range, `1-4`, or a set such as `[1, 4]`. A
block with a weight is written `0.5*4`, and one with a hidden loss of its own `cosine(4)` or
`0.5*cosine(4)`. Plain Python, no torch.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_TARGET = re.compile(
    r"(?:(?P<weight>\d[\d.]*(?:e[+-]?\d+)?)\s*\*\s*)?"
    r"(?:(?P<block>\d+)|(?P<loss>[A-Za-z_]\w*)\(\s*(?P<of>\d+)\s*\))"
)
_RANGE = re.compile(r"(\d+)-(\d+)")
_ENTRY = re.compile(r"\s*(?:\[([^\[\]]*)\]|([^,\[\]]+))\s*(?:,|$)")


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """A teacher block that a student block imitates. `weight` multiplies the hidden loss of the
    pair; `loss` is its kind, or None for that of the trial."""

    block: int
    weight: float = 1.0
    loss: str | None = None

    def __post_init__(self) -> None:
        if type(self.block) is not int or self.block < 1:
            shown = json.dumps(self.block, default=str)
            raise ValueError(f"{shown} is no teacher block; write a whole number from 1 on")
        if not (isinstance(self.weight, int | float) and 0 < self.weight < math.inf):
            raise ValueError(
                f"weight {self.weight!r} of teacher block {self.block}; write a number greater "
                "than 0, or leave the pair out"
            )
        object.__setattr__(self, "weight", float(self.weight))  # equal targets have equal JSON

    @property
    def plain(self) -> bool:
        """Whether only the block is stated."""
        return self.weight == 1 and self.loss is None

    def __str__(self) -> str:
        block = str(self.block) if self.loss is None else f"{self.loss}({self.block})"
        return block if self.weight == 1 else f"{repr(self.weight).removesuffix('.0')}*{block}"

    @classmethod
    def parse(cls, text: str) -> Target:
        """Inverse of `str`. Raises ValueError."""
        if not (match := _TARGET.fullmatch(text.strip())):
            raise ValueError(f'"{text.strip()}" is no teacher block; write 4, 0.5*4 or cosine(4)')
        weight = float(match["weight"] or 1)
        return cls(int(match["block"] or match["of"]), weight, match["loss"])

    def to_json(self) -> dict[str, Any]:
        return {"block": self.block, "weight": self.weight, "loss": self.loss}


Targets = tuple[Target, ...]
"""The targets of one student block, sorted by block; none if the block is not matched."""


def targets(entry: object) -> Targets:
    """Return the targets of an entry: a block, None, a text such as `1-4` or `0.5*4`, a `Target`,
    or a list of these.

    Raises ValueError for anything else, and if a block occurs twice.
    """
    if isinstance(entry, list | tuple):
        members = [target for part in entry for target in targets(part)]
        if not members or None in entry:
            shown = json.dumps(entry, default=str)
            raise ValueError(f"{shown} is no set of teacher blocks; write one such as [1, 4]")
    elif isinstance(entry, str):
        members = list(_of_text(entry))
    elif isinstance(entry, Target):
        members = [entry]
    else:
        members = [] if entry is None else [Target(entry)]  # type: ignore[arg-type]
    members.sort(key=lambda target: target.block)
    blocks = [target.block for target in members]
    if twice := next((b for b in blocks if blocks.count(b) > 1), None):
        raise ValueError(f"teacher block {twice} occurs twice for one student block; name it once")
    return tuple(members)


def _of_text(text: str) -> Targets:
    if text.strip() == "null":
        return ()
    if not (match := _RANGE.fullmatch(text.strip())):
        return (Target.parse(text),)
    first, last = int(match[1]), int(match[2])
    if last < first:
        raise ValueError(f"{text!r}: a range is written from its first block to its last")
    return tuple(Target(block) for block in range(first, last + 1))


def split(text: str) -> list[Targets]:
    """Return the targets of each entry of a text such as `4, [1, 0.5*6], null`. Raises
    ValueError."""
    entries: list[Targets] = []
    end = 0
    while end < len(text) or not entries or text[end - 1] == ",":
        if not (match := _ENTRY.match(text, end)):
            raise ValueError("entries are blocks, ranges, sets or null, with commas between them")
        members, entry = match.groups()
        entries.append(targets(entry if members is None else members.split(",")))
        end = match.end()
    return entries


def as_range(of_block: Targets) -> tuple[int, int] | None:
    """Return the first and the last block if these are all blocks between them, without weights
    or losses; else None."""
    if not of_block or not all(target.plain for target in of_block):
        return None
    first, last = of_block[0].block, of_block[-1].block
    return (first, last) if last - first + 1 == len(of_block) else None


def entry_text(of_block: Targets) -> str:
    """Return the entry as text, the inverse of `targets`: `null`, `4`, `1-4` or `[1, 0.5*4]`."""
    if limits := as_range(of_block):
        return str(limits[0]) if limits[0] == limits[1] else f"{limits[0]}-{limits[1]}"
    members = ", ".join(map(str, of_block))
    return f"[{members}]" if len(of_block) > 1 else members or "null"


def from_pairs(pairs: Iterable[tuple[int, Target]], blocks: int) -> Sequence[Targets]:
    """Return the targets of each of `blocks` student blocks from (student block, target) pairs.

    Raises ValueError for a student block beyond the last, and for a pair that occurs twice.
    """
    by_block: list[list[Target]] = [[] for _ in range(blocks)]
    for student, target in pairs:
        if not 1 <= student <= blocks:
            raise ValueError(f"student block {student}, and the student has {blocks} blocks")
        if any(other.block == target.block for other in by_block[student - 1]):
            raise ValueError(
                f"student block {student} and teacher block {target.block} are a pair twice; "
                "leave one out"
            )
        by_block[student - 1].append(target)
    return [targets(of_block or None) for of_block in by_block]
