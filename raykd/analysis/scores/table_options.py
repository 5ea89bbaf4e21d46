"""How a table that raykd did not write names its columns, strategies and seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raykd.analysis.scores.scores import FORWARD
from raykd.analysis.scores.table.rows import COLUMNS, Row, text
from raykd.errors import UserError

Rows = list[dict[str, Any]]
LISTED = 8  # most names that a note lists


@dataclass(frozen=True)
class TableOptions:
    """`baseline`: the strategy that takes the place of forward. `columns`: the table's name of each
    column that has another name than raykd's, in lower case. `claims`: stated by the user now, as a
    sweep file states them."""

    smaller_is_better: bool = False
    baseline: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    claims: Sequence[str] = ()


def parse_columns(stated: Sequence[str]) -> dict[str, str]:
    """Return the columns of `strategy=method` and the like. Raises UserError."""
    columns: dict[str, str] = {}
    for item in stated:
        name, equals, theirs = (part.strip().lower() for part in item.partition("="))
        if not (name and equals and theirs) or name in columns:
            raise UserError(
                f"--columns: {item}; write the name of raykd's column, an equals sign and the "
                f"table's, such as strategy=method; raykd's are {COLUMNS}"
            )
        columns[name] = theirs
    return columns


def renamed(file: Path, rows: Rows, columns: Mapping[str, str]) -> Rows:
    """Return the rows with raykd's names of columns. Raises UserError."""
    for name, theirs in columns.items():
        if theirs not in rows[0]:
            raise UserError(
                f"{file}: --columns: no column {theirs}; this table has {', '.join(rows[0])}"
            )
        if name in rows[0] and name not in columns.values():
            raise UserError(
                f"{file}: --columns: {name}={theirs}, and the table has a column {name} too; "
                "rename one of them"
            )
    ours = {theirs: name for name, theirs in columns.items()}
    return [{ours.get(name, name): value for name, value in row.items()} for row in rows]


def strategy(name: str) -> str:
    """Return the name of a strategy as raykd writes it."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def with_baseline(file: Path, rows: Rows, baseline: str | None) -> tuple[Rows, tuple[str, ...]]:
    """Return the rows with the baseline named `forward`, and a note on it. Raises UserError."""
    if baseline is None or strategy(baseline) == FORWARD:
        return rows, ()
    names = dict.fromkeys(strategy(text(row, "strategy")) for row in rows)
    if strategy(baseline) not in names:
        raise UserError(
            f"{file}: --baseline: no strategy {baseline!r}; this table has {', '.join(names)}"
        )
    if FORWARD in names:
        raise UserError(
            f"{file}: --baseline: {baseline}, and the table has forward too; leave --baseline out, "
            "or name forward otherwise in the table"
        )
    turned = [
        {**row, "strategy": FORWARD}
        if strategy(text(row, "strategy")) == strategy(baseline)
        else row
        for row in rows
    ]
    return turned, (f"{baseline} takes the place of forward, and is shown under that name",)


def numbered_seeds(file: Path, rows: Sequence[Row]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the number of each seed as it is written, and a note if seeds are names, which are
    numbered in their order. Raises UserError for numbers that are not whole."""
    written = sorted({text(row, "seed") for row in rows} - {""})
    numbers = {value: _number(value) for value in written}
    if written and any(number is None for number in numbers.values()):
        listed = ", ".join(f"{name} {number}" for number, name in enumerate(written[:LISTED]))
        more = ", ..." if len(written) > LISTED else ""
        names = {name: number for number, name in enumerate(written)}
        return names, (f"seeds have names and are numbered in their order: {listed}{more}",)
    for count, row in enumerate(rows, 1):
        value = numbers.get(text(row, "seed"))
        if value is not None and value != int(value):
            raise UserError(
                f"{file}: row {count}: seed: {text(row, 'seed')!r} is not a whole number; number "
                "the runs, the same number for runs that share their data order, or leave the "
                "column out"
            )
    return {name: int(number) for name, number in numbers.items() if number is not None}, ()


def _number(written: str) -> float | None:
    """Return a number; None for a name, and for `nan` and `inf`."""
    try:
        value = float(written)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
