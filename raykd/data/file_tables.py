"""Text files as tables: CSV, TSV and JSON, without type inference.

A cell of a delimited file is a text, and a JSON value keeps its JSON type. Readers that infer types
read `007` as 7, a date as a point in time, and the first of four cells under three names as an
index.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raykd.data.columns import check_columns, wanted
from raykd.errors import UserError

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig

END = "\0end of the file\0"  # added as the last line, to detect a quotation that is never closed
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
DELIMITED: dict[str, dict[str, Any]] = {
    ".csv": {"delimiter": ","},
    # Tab-separated corpora do not quote: an opening quotation mark belongs to the text.
    ".tsv": {"delimiter": "\t", "quoting": csv.QUOTE_NONE},
}
"""Options of `csv.reader` by file suffix."""
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas"}


@dataclass(frozen=True)
class FileTable:
    """Columns of equal length by name, with the part of the `datasets.Dataset` interface that is
    used."""

    columns: dict[str, list[Any]]

    @property
    def column_names(self) -> list[str]:
        return list(self.columns)

    @property
    def features(self) -> dict[str, None]:
        """Column names. No column has class names."""
        return dict.fromkeys(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def __getitem__(self, column: str) -> list[Any]:
        return self.columns[column]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for cells in zip(*self.columns.values(), strict=True):
            yield dict(zip(self.columns, cells, strict=True))


def delimited(path: Path, task: TaskConfig, file: str, where: str) -> FileTable:
    """The columns that a task names, as strings. Raises UserError with the line of a row that has
    more or fewer fields than the header, or of a quotation that is never closed."""
    return _delimited(path, where, lambda header: _places(header, task, file, where))


def every_column(path: Path, where: str) -> FileTable:
    """All columns of a delimited file whose name is not empty and is theirs alone. Raises UserError
    like `delimited`."""

    def places(header: list[str]) -> dict[str, int]:
        named = Counter(header)
        return {name: i for i, name in enumerate(header) if name and named[name] == 1}

    return _delimited(path, where, places)


def _delimited(
    path: Path, where: str, places_of: Callable[[list[str]], dict[str, int]]
) -> FileTable:
    csv.field_size_limit(sys.maxsize)  # the default rejects long documents
    with path.open(encoding="utf-8-sig", newline="") as stream:
        records = _records(stream, path.suffix, where)
        _, header = next(records, (1, []))
        _check_separator(header, path.suffix, where)
        places = places_of(header)
        columns: dict[str, list[Any]] = {name: [] for name in places}
        ragged: list[tuple[int, list[str]]] = []
        for line, cells in records:
            if len(cells) != len(header):
                ragged.append((line, cells[:8]) if ragged else (line, cells))
                continue
            for name, place in places.items():
                columns[name].append(cells[place])
    if ragged:
        raise UserError(_ragged(ragged, header, path.suffix, where))
    return FileTable(columns)


def _check_separator(header: list[str], suffix: str, where: str) -> None:
    """Raises UserError if the header is one name with another separator in it, such as the
    semicolons of spreadsheets; a task needs two columns at least."""
    for mark, name in SEPARATORS.items():
        if len(header) == 1 and mark in header[0] and mark != DELIMITED[suffix]["delimiter"]:
            advice = {",": "name it .csv", "\t": "name it .tsv"}
            raise UserError(
                f"{where}: its columns are separated by {name}, see the first line; "
                f"{advice.get(mark, 'save it with commas (.csv) or tabs (.tsv)')}"
            )


def check_utf8(path: Path, where: str) -> None:
    """Raises UserError with the position of the first byte that is not UTF-8."""
    decoder, offset = codecs.getincrementaldecoder("utf-8")(), 0
    with path.open("rb") as stream:
        chunk = b"start"
        while chunk:
            chunk = stream.read(1 << 20)
            pending = len(decoder.getstate()[0])  # start of a character that the last chunk cut
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{where}: not UTF-8 at byte {offset - pending + error.start}; save it as "
                    "UTF-8 (for example: iconv -f latin1 -t utf-8)"
                ) from None
            offset += len(chunk)


def _records(stream: Iterable[str], suffix: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line on which each begins (a quoted cell may span several lines), without blank
    lines. The parser is strict: otherwise text after a closing quotation mark joins its cell, and
    an unclosed mark can swallow all rows up to the next mark."""
    reader = csv.reader(chain(stream, [END]), strict=True, **DELIMITED[suffix])
    line, cells = 1, list[str]()
    try:
        for cells in reader:
            if cells == [END]:
                return
            if END in cells[-1:] or (cells and cells[-1].endswith(END)):
                break
            if len(cells) > 1 or (cells and cells[0].strip()):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        if "expected after" in str(error):
            raise UserError(
                f"{where}: cannot be read as csv: line {reader.line_num}, in the row that begins "
                f"on line {line}: text follows a closing quotation mark; write a mark that is part "
                'of a quoted text as ""'
            ) from error
        if "unexpected end" not in str(error):
            raise UserError(f"{where}: cannot be read as csv: line {line}: {error}") from error
    raise UserError(
        f"{where}: cannot be read as csv: a quotation mark in the row that begins on line {line} "
        'is never closed; close it, or write a mark that is part of a text as ""'
    )


def _places(header: list[str], task: TaskConfig, file: str, where: str) -> dict[str, int]:
    """Index of each column that the task names. Other columns may be unnamed or share a name."""
    check_columns(header, task, file)
    places = {}
    for key, name in wanted(task):
        positions = [str(i) for i, cell in enumerate(header, 1) if cell == name]
        if len(positions) > 1:
            raise UserError(
                f"{where}: task.{key}: the header names {name!r} more than once (columns "
                f"{', '.join(positions)}); rename all but one"
            )
        places[name] = int(positions[0]) - 1
    return places


def _ragged(ragged: list[tuple[int, list[str]]], header: list[str], suffix: str, where: str) -> str:
    line, cells = ragged[0]
    others = f" (and {len(ragged) - 1:,} more rows do not fit it)" if len(ragged) > 1 else ""
    kind = suffix[1:]
    if len(cells) < len(header):
        advice = "fill in what is missing"
    elif suffix == ".tsv":
        advice = "take the tabs out of its texts, or give each column a name"
    else:
        advice = 'quote a cell that has a comma in it ("a, b"), or give each column a name'
    return (
        f"{where}: cannot be read as {kind}: line {line} has {_fields(len(cells))}, and the header "
        f"{len(header)}{others}; {advice}"
    )


def _fields(count: int) -> str:
    return f"{count} field" if count == 1 else f"{count} fields"


def json_table(path: Path, where: str) -> FileTable:
    """Reads JSON lines, or one list of objects. The columns are the keys of all objects; a missing
    key is None. Raises UserError with the line of a row that is not an object."""
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip().startswith("["):
        records = _parsed(text, where, 1)
    else:
        lines = enumerate(text.split("\n"), 1)
        records = [_parsed(line, where, i) for i, line in lines if line.strip()]
    if invalid := next((record for record in records if not isinstance(record, dict)), None):
        raise UserError(
            f"{where}: cannot be read as json: a row is an object, not {str(invalid)[:40]}"
        )
    if SURROGATE.search(text) and any(map(_has_lone_surrogate, records)):
        first = next(i for i, record in enumerate(records, 1) if _has_lone_surrogate(record))
        raise UserError(
            f"{where}: row {first} has half of a surrogate pair (\\ud800 to \\udfff), which is no "
            "character; write the pair, or take it out"
        )
    names = dict.fromkeys(name for record in records for name in record)
    return FileTable({name: [record.get(name) for record in records] for name in names})


def _has_lone_surrogate(record: Any) -> bool:
    """Whether a record has a text that cannot be encoded."""
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _parsed(text: str, where: str, line: int) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except ValueError as error:
        number = line + getattr(error, "lineno", 1) - 1
        message = getattr(error, "msg", str(error))
        raise UserError(
            f"{where}: cannot be read as json: line {number}: {message}; write one object a "
            "line, or a list of objects"
        ) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        repeated = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {repeated!r} stands twice in one object")
    return record
