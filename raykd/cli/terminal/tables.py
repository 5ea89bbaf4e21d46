"""Every table of the command line, by one rule for narrow terminals.

1. A column that has one value becomes part of the heading.
2. If the table is too wide, columns that may give way are dropped; if that is not enough, so are
   ranges in parentheses that may give way. A line names what is left out.
3. If it still is too wide, or the terminal has 60 columns or fewer, rows are stacked in blocks.

Names and numbers are never cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from raykd.cli.terminal import console
from raykd.cli.terminal.console import say, show

NARROW = 60  # columns of a terminal at which a table that does not fit is stacked
UNLIMITED = 10_000  # columns, to measure a table

GAP = "   "  # between the values of a stacked row

Row = Sequence[str]


@dataclass(frozen=True)
class Column:
    """`name` columns say what a row is about, `result` columns what came out, and `value` columns
    the rest. Names but the last, and values, move to the heading if they are the same in every row
    that has one. `gives_way`: columns with the highest number are dropped first, those with 0
    never. `spread`: the ranges in parentheses after its numbers may be dropped."""

    head: str
    role: Literal["name", "value", "result"] = "value"
    left: bool = False
    gives_way: int = 0
    spread: bool = False

    @property
    def label(self) -> str:
        """The head in one line."""
        return self.head.replace("\n", " ")


def name(head: str) -> Column:
    return Column(head, "name", left=True)


def result(head: str, left: bool = False, gives_way: int = 0, spread: bool = False) -> Column:
    return Column(head, "result", left, gives_way, spread)


def print_table(
    columns: Sequence[Column],
    rows: Sequence[Row],
    title: str = "",
    indent: int = 0,
    all_with: str = "--json",
) -> None:
    """Print rows as a table that fits the terminal. `all_with`: what shows the dropped columns."""
    columns, rows, constant = _constants(columns, rows)
    if heading := "; ".join(filter(None, (title, *constant))):
        say(" " * indent + heading)
    width, full_width = console.out.width, _width(columns, rows, indent)
    shown, left_out = _fitting(columns, rows, indent, width), []
    if shown is None:
        shorter = [[_without_range(c, v) for c, v in zip(columns, r, strict=True)] for r in rows]
        shown = _fitting(columns, shorter, indent, width)
        if shown is not None and width > NARROW:
            rows = shorter
            left_out = ["ranges"]
    if full_width > width and (shown is None or width <= NARROW):
        _stack(columns, rows, indent)
        return
    kept = range(len(columns)) if shown is None else shown
    show(Padding(_table(columns, rows, kept), (0, 0, 0, indent), expand=False))
    left_out += [c.label for i, c in enumerate(columns) if i not in kept]
    if left_out:
        say(
            f"{' ' * indent}Left out at {width} columns: {', '.join(left_out)}. {all_with} or a "
            f"terminal of {full_width} columns shows all."
        )


def _without_range(column: Column, cell: str) -> str:
    return cell.partition(" (")[0] if column.spread else cell


def _constants(
    columns: Sequence[Column], rows: Sequence[Row]
) -> tuple[list[Column], list[Row], list[str]]:
    """Split off the columns that have one value; blank cells do not count."""
    names = [i for i, c in enumerate(columns) if c.role == "name"]
    varying, constant = [], []
    for i, column in enumerate(columns):
        values = {row[i] for row in rows} - {""}
        fixed = column.role == "result" or i == names[-1] or len(rows) < 2
        if not values:
            continue
        if len(values) > 1 or fixed:
            varying.append(i)
        else:
            constant.append(f"{column.label} {values.pop()}")
    return [columns[i] for i in varying], [[row[i] for i in varying] for row in rows], constant


def _fitting(
    columns: Sequence[Column], rows: Sequence[Row], indent: int, width: int
) -> list[int] | None:
    """Return the columns that fit, all of them if possible; None if none may give way any more."""
    shown = list(range(len(columns)))
    while (
        _width([columns[i] for i in shown], [[r[i] for i in shown] for r in rows], indent) > width
    ):
        last = max(shown, key=lambda i: columns[i].gives_way)
        if not columns[last].gives_way:
            return None
        shown.remove(last)
    return shown


def _table(columns: Sequence[Column], rows: Iterable[Row], shown: Iterable[int]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), collapse_padding=False)
    shown = list(shown)
    for i in shown:
        justify: Literal["left", "right"] = "left" if columns[i].left else "right"
        table.add_column(Text(columns[i].head), justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(row[i]) for i in shown))
    return table


def _width(columns: Sequence[Column], rows: Sequence[Row], indent: int) -> int:
    table = _table(columns, rows, range(len(columns)))
    options = console.out.options.update(width=UNLIMITED)
    return indent + console.out.measure(table, options=options).maximum


def _stack(columns: Sequence[Column], rows: Sequence[Row], indent: int) -> None:
    """Print a block for each row: its names, then its values, as many as fit on a line."""
    margin, width = " " * indent, console.out.width
    for row in rows:
        cells = [(c, cell) for c, cell in zip(columns, row, strict=True) if cell]
        say(Text(margin + ", ".join(v for c, v in cells if c.role == "name"), style="bold"))
        line = ""
        for pair in (f"{c.label} {cell}".strip() for c, cell in cells if c.role != "name"):
            if line and indent + len(line) + len(GAP) + len(pair) + 2 > width:
                say(f"{margin}  {line}", hang=indent + 4)
                line = ""
            line += f"{GAP if line else ''}{pair}"
        if line:
            say(f"{margin}  {line}", hang=indent + 4)
