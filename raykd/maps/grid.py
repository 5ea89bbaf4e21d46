"""Draws a layer map as a grid of characters. Plain Python, no torch."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import accumulate

WIDTH = 100


def state_label(block: int) -> str:
    """Label of a state in a drawing of a map; block 0 is the embedding output."""
    return str(block) if block else "emb"


def grid(targets: Mapping[int, Sequence[int]], teacher: int, caption: str) -> str:
    """Draw a row for each student state and a column for each teacher state, with a dot where the
    student state imitates the teacher state.

    `targets` holds the teacher states of each student state, by block; `teacher` is the teacher's
    number of blocks. If there is a row for state 0, there is a column for it too. The grid is at
    most WIDTH characters wide. For a deep teacher the columns are narrower and only every fifth or
    tenth is numbered; for a teacher that still does not fit, only the text at the end of each row
    is shown.
    """
    notes = {state: _note(blocks) for state, blocks in targets.items()}
    columns = range(min((1, *targets)), teacher + 1)
    text_width = 12 + 2 + max(map(len, notes.values()))
    cell = next((c for c in (3, 2, 1) if text_width + _width(columns, c) <= WIDTH), 0)
    lines = textwrap.wrap(caption, WIDTH, subsequent_indent="    ")
    if cell:
        lines += ["  student │ teacher block", f"    block │ {_numbers(columns, cell)}"]
    for state, blocks in targets.items():
        name, note = state_label(state), notes[state]
        dots = "".join(("●" if c in blocks else "·").rjust(_cell(c, cell)) for c in columns)
        lines.append(f"{name:>9} │ {dots}  {note}" if cell else f"{name:>9} │ {note}")
    return "\n".join(line.rstrip() for line in lines)


def _note(targets: Sequence[int]) -> str:
    if not targets:
        return "not matched"
    note = f"imitates {state_label(targets[0])}"
    return note if len(targets) == 1 else f"{note} to {targets[-1]}"


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
