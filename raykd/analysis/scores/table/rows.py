"""Read the rows of a user's table and the numbers in them.

Every error is one line that names the place and what to write instead."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raykd.errors import UserError, first_line

Row = Mapping[str, Any]
COLUMNS = "task, init, shape, strategy, seed, metric, score"
DELIMITERS = ",\t;"


def read(file: Path) -> list[dict[str, Any]]:
    """Return the rows, at least one, of a Parquet file or of a CSV file with commas, tabs or
    semicolons, as in its header. Column names are in lower case. Raises UserError."""
    if not file.is_file():
        raise UserError(f"{file}: there is no such file; write the path of a CSV or Parquet table")
    parquet = file.suffix.lower() == ".parquet"
    try:
        if parquet:
            table = pq.read_table(file)
            header, values = table.column_names, [list(r.values()) for r in table.to_pylist()]
        else:
            header, values = _csv(file)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise UserError(
            f"{file}: cannot be read as a CSV or Parquet table ({first_line(error)}); save it as "
            "one"
        ) from error
    names = [str(name).strip().lower() for name in header]
    # Spreadsheets leave empty columns at the end; columns without a name are ignored.
    if duplicates := [name for name, count in Counter(names).items() if name and count > 1]:
        raise UserError(
            f"{file}: {names.count(duplicates[0])} columns are named {duplicates[0]!r}; keep one"
        )
    if not values:
        raise UserError(f"{file}: there are no rows; a table of scores has {COLUMNS}")
    for number, row in enumerate(values, 1):
        if len(row) != len(names):
            hint = (
                "; a number is written with a point, not a comma" if len(row) > len(names) else ""
            )
            raise UserError(
                f"{file}: row {number}: {len(names)} columns in the header, {len(row)} here{hint}"
            )
    return [dict(zip(names, row, strict=True)) for row in values]


def of_records(source: Path, records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows, at least one, of dicts by column name, such as those of
    `frame.to_dict("records")`. `source` names them in errors. Raises UserError."""
    rows = []
    for number, record in enumerate(records, 1):
        if not isinstance(record, Mapping):
            raise UserError(
                f"{source}: row {number} is a {type(record).__name__}; write a dict with {COLUMNS}"
            )
        rows.append({str(name).strip().lower(): value for name, value in record.items()})
    if not rows:
        raise UserError(f"{source}: there are no rows; a table of scores has {COLUMNS}")
    columns = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in columns} for row in rows]


def _csv(file: Path) -> tuple[list[str], list[list[str]]]:
    with file.open(newline="", encoding="utf-8-sig") as stream:
        first = stream.readline()
        stream.seek(0)
        delimiter = max(DELIMITERS, key=first.count)
        rows = [row for row in csv.reader(stream, delimiter=delimiter, strict=True) if row]
    return (rows[0], rows[1:]) if rows else ([], [])


def text(row: Row, column: str) -> str:
    """Return the text of a row in a column, empty without such a column."""
    value = row.get(column)
    return "" if value is None else str(value).strip()


def number(where: str, written: str, column: str = "score") -> float:
    """Parse a number, with or without a percent sign. Raises UserError."""
    digits = _plain(written)
    if "," in digits:
        point = digits.replace(",", "" if "." in digits or digits.count(",") > 1 else ".")
        raise UserError(
            f"{where}: {column}: {written!r} has a comma; write numbers with a decimal point and "
            f"nothing between thousands, such as {point}"
        )
    try:
        value = float(digits)
    except ValueError:
        value = None
    if value is None or "_" in digits:
        raise UserError(f"{where}: {column}: {written!r} is not a number")
    if not math.isfinite(value):
        advice = (
            "a run without a score is no row: leave it out, and it will be named as missing"
            if column == "score"
            else "write a finite number, or leave it empty"
        )
        raise UserError(f"{where}: {column}: {written}; {advice}")
    return value


def _plain(written: str) -> str:
    return written.removesuffix("%").strip().replace("\N{MINUS SIGN}", "-")


def whole(where: str, written: str, column: str) -> int:
    """Parse a whole number of at least 1. Raises UserError."""
    value = number(where, written, column)
    if value < 1 or value != int(value):
        raise UserError(f"{where}: {column}: {written}; write a whole number of at least 1")
    return int(value)


def in_percent(file: Path, rows: Sequence[Row]) -> bool:
    """Return whether the scores have percent signs. Raises UserError if only some of them do, or if
    another column has them and the scores do not."""
    signs: dict[tuple[str, bool], tuple[int, str]] = {}
    for count, row in enumerate(rows, 1):
        for column in ("score", "select", "margin"):
            if value := text(row, column):
                signs.setdefault((column, value.endswith("%")), (count, value))
    signed, unsigned = signs.get(("score", True)), signs.get(("score", False))
    if signed and unsigned:
        raise UserError(
            f"{file}: the score of row {signed[0]}, {signed[1]}, has a percent sign and that of "
            f"row {unsigned[0]}, {unsigned[1]}, has none; write all of them in one unit"
        )
    for column in ("select", "margin"):
        other = signs.get((column, not signed))
        if other and (column, True) in signs:
            raise UserError(
                f"{file}: row {other[0]}: {column}: {other[1]}; write it as the scores "
                f"are written, {'with' if signed else 'without'} a percent sign"
            )
    return signed is not None


def one_value(file: Path, rows: Sequence[Row], column: str) -> str:
    """Return the value of a column that has one value for the whole table; rows may leave it empty.
    Raises UserError if two values differ."""
    values: dict[float, tuple[int, str]] = {}
    for count, row in enumerate(rows, 1):
        if value := text(row, column):
            where = f"{file}: row {count}"
            values.setdefault(number(where, value, column), (count, value))
    if len(values) > 1:
        (one, first), (two, second) = list(values.values())[:2]
        raise UserError(
            f"{file}: {column}: {first} in row {one}, {second} in row {two}; a table has one "
            f"{column}"
        )
    return next((value for _, value in values.values()), "")


def decimals(rows: Sequence[Row]) -> int:
    """Return the largest number of decimals of a score."""
    decimal_places = []
    for row in rows:
        mantissa, _, exponent = _plain(text(row, "score")).lower().partition("e")
        digits = len(re.sub(r"\D", "", mantissa.partition(".")[2]))
        decimal_places.append(digits - int(exponent or 0))
    return max(0, *decimal_places)
