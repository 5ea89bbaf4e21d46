"""`raykd maps`: the layer map of each strategy, drawn as a grid."""

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
    """Parse a depth: `12`, or `12+6` for an encoder of 12 blocks and a decoder of 6.

    Raises UserError for any other text.
    """
    parts = text.split("+")
    if len(parts) > 2 or not all(p.strip().isdecimal() and int(p) for p in parts):
        raise UserError(
            f"{option}: {text}; write a number of blocks from 1 on, or encoder+decoder as in 12+12"
        )
    return Depth(*map(int, parts))


def maps(
    teacher: Depth, student: Depth, strategies: list[str], seed: int, paper: bool
) -> list[tuple[str, LayerMap]]:
    """(strategy, map) for the named strategies, or for all of them if none is named.

    `paper` matches embedding outputs as the paper's release does: for its encoders and
    encoder-decoders, not for its decoders of 28, 36 and 40 blocks. With `paper`, "all" leaves out
    the published methods, which come from other papers. Raises UserError for an unknown strategy,
    or if teacher and student differ in their number of stacks.
    """
    if len(teacher.stacks) != len(student.stacks):
        raise UserError("--student: as many stacks as --teacher has; write 3, or 3+3 for 12+12")
    named_maps = []
    one_stack = teacher.decoder is None  # published methods are defined for one stack only
    for name in strategies or (RULES if one_stack and not paper else STRATEGIES):
        if name not in RULES:
            similar = difflib.get_close_matches(name, RULES, 1)
            hint = f"did you mean {similar[0]}?" if similar else f"known: {', '.join(RULES)}"
            raise UserError(f"--strategy: {name!r} is not known; {hint}")
        layer_map = apply_to_stacks(RULES[name], teacher, student, seed)
        if paper and name not in PUBLISHED and teacher not in PAPER_DECODER_DEPTHS:
            layer_map = match_embedding(layer_map, name)
        named_maps.append((name, layer_map))
    return named_maps


def picture(layer_map: LayerMap, teacher: Depth, title: str) -> str:
    """Draw one grid per stack: a row for each student block, a column for each teacher block, a
    dot where the student block imitates the teacher block. `emb` is the embedding output.

    The grid is at most WIDTH characters wide. For a deep teacher the columns are narrower and only
    every fifth or tenth is numbered; for a teacher that still does not fit, only the text at the
    end of each row is shown.
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
        note = f"imitates {state_label(targets[0])}" if targets else "not matched"
        if len(targets) > 1:
            note += f" to {targets[-1]}"
        rows.append((state_label(state), targets, note))
    columns = range(first, teacher + 1)
    text_width = 12 + 2 + max(len(note) for _, _, note in rows)
    cell = next((c for c in (3, 2, 1) if text_width + _width(columns, c) <= WIDTH), 0)
    lines = textwrap.wrap(f"{title}  {layer_map}", WIDTH, subsequent_indent="    ")
    if cell:
        lines += ["  student │ teacher block", f"    block │ {_numbers(columns, cell)}"]
    for name, targets, note in rows:
        dots = "".join(("●" if c in targets else "·").rjust(_cell(c, cell)) for c in columns)
        lines.append(f"{name:>9} │ {dots}  {note}" if cell else f"{name:>9} │ {note}")
    return "\n".join(line.rstrip() for line in lines)


def _cell(column: int, cell: int) -> int:
    return cell if column else 3


def _width(columns: range, cell: int) -> int:
    return sum(_cell(c, cell) for c in columns)


def _numbers(columns: range, cell: int) -> str:
    """The head of the grid, with each number right-aligned over its column."""
    interval = {3: 1, 2: 5, 1: 10}[cell]
    line = ""
    for end, column in zip(accumulate(_cell(c, cell) for c in columns), columns, strict=True):
        if column % interval == 0:
            line = line.ljust(end - len(state_label(column))) + state_label(column)
    return line
