"""Text files as tables: CSV, TSV and JSON, cell by cell as they stand.

No type is guessed: a cell of a delimited file is a text, and a JSON value is what JSON says it is.
Readers that guess take `007` for 7, a date for a point in time, and the first of four cells under
three names for an index.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raykd.data.columns import check_columns, wanted
from raykd.errors import UserError

if TYPE_CHECKING:
    from raykd.config.task import Task

END = "\0end of the file\0"  # a last line, by which a quotation that was never closed is noticed
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
DELIMITED: dict[str, dict[str, Any]] = {
    ".csv": {"delimiter": ","},
    # Tab-separated corpora do not quote: a quotation mark that opens a text is the text's own.
    ".tsv": {"delimiter": "\t", "quoting": csv.QUOTE_NONE},
}
"""Options of `csv.reader` by the ending of a file's name."""


@dataclass(frozen=True)
class FileTable:
    """Columns of equal lengths by name: what the readers of rows use of a `datasets.Dataset`."""

    columns: dict[str, list[Any]]

    @property
    def column_names(self) -> list[str]:
        return list(self.columns)

    @property
    def features(self) -> dict[str, None]:
        """No column has names for class numbers."""
        return dict.fromkeys(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def __getitem__(self, column: str) -> list[Any]:
        return self.columns[column]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for cells in zip(*self.columns.values(), strict=True):
            yield dict(zip(self.columns, cells, strict=True))


def delimited(path: Path, task: Task, file: str, where: str) -> FileTable:
    """The columns that a task names, as strings. Raises UserError with the line of a row that has
    more or fewer fields than the header, and for a quotation that is never closed."""
    csv.field_size_limit(sys.maxsize)  # of a long document, which the default refuses
    with path.open(encoding="utf-8-sig", newline="") as stream:
        records = _records(stream, path.suffix, where)
        _, header = next(records, (1, []))
        places = _places(header, task, file, where)
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


def check_utf8(path: Path, where: str) -> None:
    """Raises UserError with the first byte that is no UTF-8."""
    decoder, offset = codecs.getincrementaldecoder("utf-8")(), 0
    with path.open("rb") as stream:
        chunk = b"start"
        while chunk:
            chunk = stream.read(1 << 20)
            pending = len(decoder.getstate()[0])  # the head of a character cut by the last chunk
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{where}: not UTF-8 at byte {offset - pending + error.start}; save it as "
                    "UTF-8 (for example: iconv -f latin1 -t utf-8)"
                ) from None
            offset += len(chunk)


def _records(stream: Iterable[str], suffix: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line on which each begins; a quoted cell may go over several. Blank lines are
    none. Strict: else what follows a closing mark joins its cell, and a mark that is never closed
    may take the rows up to the next one with it."""
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


def _places(header: list[str], task: Task, file: str, where: str) -> dict[str, int]:
    """The place of each column that the task names. Other columns may have no name, or share
    one."""
    check_columns(header, task, file)
    places = {}
    for key, name in wanted(task):
        found = [str(i) for i, cell in enumerate(header, 1) if cell == name]
        if len(found) > 1:
            raise UserError(
                f"{where}: task.{key}: the header names {name!r} more than once (columns "
                f"{', '.join(found)}); rename all but one"
            )
        places[name] = int(found[0]) - 1
    return places


def _ragged(ragged: list[tuple[int, list[str]]], header: list[str], suffix: str, where: str) -> str:
    line, cells = ragged[0]
    more = f" (and {len(ragged) - 1:,} more rows do not fit it)" if len(ragged) > 1 else ""
    kind = suffix[1:]
    if len(cells) < len(header):
        mend = "fill in what is missing"
    elif suffix == ".tsv":
        mend = "take the tabs out of its texts, or give each column a name"
    else:
        mend = 'quote a cell that has a comma in it ("a, b"), or give each column a name'
    return (
        f"{where}: cannot be read as {kind}: line {line} has {_fields(len(cells))}, and the header "
        f"{len(header)}{more}; {mend}"
    )


def _fields(count: int) -> str:
    return f"{count} field" if count == 1 else f"{count} fields"


def json_table(path: Path, where: str) -> FileTable:
    """JSON lines, or one list of objects; the columns are the keys of all objects, and what an
    object lacks is None. Raises UserError with the line of what is no object."""
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip().startswith("["):
        records = _parsed(text, where, 1)
    else:
        lines = enumerate(text.split("\n"), 1)
        records = [_parsed(line, where, i) for i, line in lines if line.strip()]
    if odd := next((x for x in records if not isinstance(x, dict)), None):
        raise UserError(f"{where}: cannot be read as json: a row is an object, not {str(odd)[:40]}")
    if SURROGATE.search(text) and any(map(_half, records)):
        first = next(i for i, record in enumerate(records, 1) if _half(record))
        raise UserError(
            f"{where}: row {first} has half of a surrogate pair (\\ud800 to \\udfff), which is no "
            "character; write the pair, or take it out"
        )
    names = dict.fromkeys(name for record in records for name in record)
    return FileTable({name: [record.get(name) for record in records] for name in names})


def _half(record: Any) -> bool:
    """Whether it has a text that no encoding can write."""
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _parsed(text: str, where: str, line: int) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except ValueError as error:
        at = line + getattr(error, "lineno", 1) - 1
        said = getattr(error, "msg", str(error))
        raise UserError(
            f"{where}: cannot be read as json: line {at}: {said}; write one object a line, or a "
            "list of objects"
        ) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found
