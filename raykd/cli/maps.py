"""Layer maps for a person's eyes: which map each strategy yields, as a small grid."""

from __future__ import annotations

import difflib
import textwrap
from itertools import accumulate

from raykd.errors import UserError
from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap, state_label
from raykd.maps.published import PUBLISHED, RULES
from raykd.maps.strategies import PAPER_DECODER_DEPTHS, STRATEGIES, apply_to_stacks, match_embedding

WIDTH = 100


def depth(option: str, text: str) -> Depth:
    """`12`, or `12+6` for an encoder of 12 blocks and a decoder of 6. Raises UserError."""
    parts = text.split("+")
    if len(parts) > 2 or not all(p.strip().isdecimal() and int(p) for p in parts):
        raise UserError(
            f"{option}: {text}; write a number of blocks from 1 on, or encoder+decoder as in 12+12"
        )
    return Depth(*map(int, parts))


def maps(
    teacher: Depth, student: Depth, strategies: list[str], seed: int, paper: bool
) -> list[tuple[str, LayerMap]]:
    """(strategy, map) for the named strategies, or for all.

    `paper` matches embedding outputs as the paper's release does: with its encoders and
    encoder-decoders, and not with its decoders of 28, 36 and 40 blocks. All are then those that go
    with any loss; a published method has a paper of its own.
    """
    if len(teacher.stacks) != len(student.stacks):
        raise UserError("--student: as many stacks as --teacher has; write 3, or 3+3 for 12+12")
    found = []
    one_stack = teacher.decoder is None  # published methods are for one
    for name in strategies or (RULES if one_stack and not paper else STRATEGIES):
        if name not in RULES:
            near = difflib.get_close_matches(name, RULES, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(RULES)}"
            raise UserError(f"--strategy: {name!r} is not known; {hint}")
        layer_map = apply_to_stacks(RULES[name], teacher, student, seed)
        if paper and name not in PUBLISHED and teacher not in PAPER_DECODER_DEPTHS:
            layer_map = match_embedding(layer_map, name)
        found.append((name, layer_map))
    return found


def picture(layer_map: LayerMap, teacher: Depth, title: str) -> str:
    """A grid of each stack: a row for each student block, a column for each teacher block, a dot
    where the student block imitates the teacher block. `emb` is the embedding output.

    At most WIDTH columns wide: a deep teacher's columns stand closer, with every fifth or tenth
    numbered; a teacher too deep even for that is left to the words at the end of each row.
    """
    if teacher.decoder is None:
        return _grid(layer_map, teacher.encoder, title)
    stacks = zip(layer_map.halves, teacher.stacks, ("encoder", "decoder"), strict=True)
    return "\n".join(_grid(half, depth, f"{title}, {stack}") for half, depth, stack in stacks)


def _grid(layer_map: LayerMap, teacher: int, title: str) -> str:
    states: dict[int, list[int]] = {}
    for state, target in layer_map.matched_blocks():
        states.setdefault(state, []).append(target)
    first = 0 if layer_map.embedding is not None else 1
    rows = []
    for state in range(first, len(layer_map.blocks) + 1):
        targets = states.get(state, [])
        says = f"imitates {state_label(targets[0])}" if targets else "not matched"
        if len(targets) > 1:
            says += f" to {targets[-1]}"
        rows.append((state_label(state), targets, says))
    columns = range(first, teacher + 1)
    around = 12 + 2 + max(len(says) for _, _, says in rows)
    cell = next((c for c in (3, 2, 1) if around + _width(columns, c) <= WIDTH), 0)
    lines = textwrap.wrap(f"{title}  {layer_map}", WIDTH, subsequent_indent="    ")
    if cell:
        lines += ["  student │ teacher block", f"    block │ {_numbers(columns, cell)}"]
    for name, targets, says in rows:
        dots = "".join(("●" if c in targets else "·").rjust(_cell(c, cell)) for c in columns)
        lines.append(f"{name:>9} │ {dots}  {says}" if cell else f"{name:>9} │ {says}")
    return "\n".join(line.rstrip() for line in lines)


def _cell(column: int, cell: int) -> int:
    return cell if column else 3


def _width(columns: range, cell: int) -> int:
    return sum(_cell(c, cell) for c in columns)


def _numbers(columns: range, cell: int) -> str:
    """The head of the grid, each number right over its column."""
    every = {3: 1, 2: 5, 1: 10}[cell]
    line = ""
    for end, column in zip(accumulate(_cell(c, cell) for c in columns), columns, strict=True):
        if column % every == 0:
            line = line.ljust(end - len(state_label(column))) + state_label(column)
    return line
