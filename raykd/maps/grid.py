"""Draws a layer map as a grid of characters. Plain Python, no torch."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

WIDTH = 100


@dataclass(frozen=True)
class Row:
    """A student state and the teacher states that it imitates, by block. `text` describes them if
    they are not a range of blocks."""

    block: int
    targets: tuple[int, ...]
    text: str = ""

    @property
    def note(self) -> str:
        """The text at the end of the row."""
        if not self.targets:
            return "not matched"
        if self.text:
            return f"imitates {self.text}"
        note = f"imitates {state_label(self.targets[0])}"
        return note if len(self.targets) == 1 else f"{note} to {self.targets[-1]}"


def state_label(block: int) -> str:
    """Label of a state in a drawing of a map; block 0 is the embedding output."""
    return str(block) if block else "emb"


def grid(rows: Sequence[Row], teacher: int, caption: str) -> str:
    """Draw a row for each student state and a column for each teacher state, with a dot where the
    student state imitates the teacher state.

    `teacher` is the teacher's number of blocks. If there is a row for state 0, there is a column
    for it too. The grid is at most WIDTH characters wide. For a deep teacher the columns are
    narrower and only every fifth or tenth is numbered; for a teacher that still does not fit, only
    the text at the end of each row is shown.
    """
    columns = range(min(1, *(row.block for row in rows)), teacher + 1)
    text_width = 12 + 2 + max(len(row.note) for row in rows)
    cell = next((c for c in (3, 2, 1) if text_width + _width(columns, c) <= WIDTH), 0)
    lines = textwrap.wrap(caption, WIDTH, subsequent_indent="    ")
    if cell:
        lines += ["  student │ teacher block", f"    block │ {_numbers(columns, cell)}"]
    for row in rows:
        name = state_label(row.block)
        dots = "".join(("●" if c in row.targets else "·").rjust(_cell(c, cell)) for c in columns)
        lines.append(f"{name:>9} │ {dots}  {row.note}" if cell else f"{name:>9} │ {row.note}")
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
