"""The format of a data file: the ending of its name in any case, gzip, and UTF-8 or UTF-16."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TextIO

from raykd.errors import UserError

READERS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
GZIP = b"\x1f\x8b"
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
"""Encodings by the mark with which a file begins; the longer marks first. Without one: UTF-8."""


def ending(path: Path) -> str:
    """The ending that names the format: `.csv` of `rows.CSV` and of `rows.csv.gz`."""
    name = Path(path.name.lower())
    if name.suffix == ".gz" and name.with_suffix("").suffix != ".parquet":
        name = name.with_suffix("")
    return name.suffix


def split_name(path: Path) -> str:
    """The name of a file without its endings, in lower case: `train` of `Train.csv.gz`."""
    name = path.name.lower().removesuffix(".gz")
    return name.removesuffix(ending(path))


def is_data(path: Path) -> bool:
    """Whether the name is that of a file that a reader reads."""
    return ending(path) in READERS


def refuse_address(data: str, where: str) -> None:
    """Raises UserError for an address such as `https://host/rows.csv`."""
    if ADDRESS.match(data):
        raise UserError(
            f"{where}: {data}: raykd reads files and hub data sets, no addresses; download it "
            "(for example: curl -LO), and write its path"
        )


def checksum(path: Path, where: str) -> str:
    """SHA-256 of a file. Raises UserError if no reader can read it."""
    if path.is_dir():
        raise UserError(f"{where}: is a folder; write the path of a file")
    if not is_data(path):
        raise UserError(
            f"{where}: write a {', '.join(READERS)} file (also as .csv.gz), a folder, or a hub name"
        )
    if not path.is_file():
        raise UserError(f"{where}: no such file (from {Path.cwd()})")
    if path.stat().st_size == 0:
        raise UserError(f"{where}: the file is empty")
    if ending(path) != ".parquet":
        _check_text(path, where)
        with open_text(path) as lines:
            rows_from = 2 if ending(path) in (".csv", ".tsv") else 1
            if len(list(islice((line for line in lines if line.strip()), rows_from))) < rows_from:
                raise UserError(f"{where}: the file has no rows")
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def open_text(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """The text of a file, decompressed and without its mark."""
    with _open_bytes(path) as stream:
        encoding = _encoding(stream.read(4))
        stream.seek(0)
        with io.TextIOWrapper(stream, encoding or "utf-8", newline=newline) as text:
            yield text


def _open_bytes(path: Path) -> gzip.GzipFile | io.BufferedReader:
    with path.open("rb") as stream:
        compressed = stream.read(2) == GZIP
    return gzip.open(path) if compressed else path.open("rb")


def _encoding(start: bytes) -> str | None:
    return next((name for mark, name in MARKS.items() if start.startswith(mark)), None)


def _check_text(path: Path, where: str) -> None:
    """Raises UserError with the position of the first byte that is not of the encoding, and for a
    compressed file that is not whole."""
    try:
        with _open_bytes(path) as stream:
            start = stream.read(4)
            stream.seek(0)
            encoding = _encoding(start)
            if encoding is None and 0 in start[:2]:
                raise UserError(
                    f"{where}: begins with a zero byte, as UTF-16 without a mark does; save it as "
                    "UTF-8 (for example: iconv -f utf-16le -t utf-8)"
                )
            _check_encoding(stream, encoding or "utf-8", where)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"{where}: cannot be read as gzip ({error}); compress it again, or decompress it"
        ) from error


def _check_encoding(stream: gzip.GzipFile | io.BufferedReader, encoding: str, where: str) -> None:
    decoder, offset = codecs.getincrementaldecoder(encoding)(), 0
    chunk = b"start"
    while chunk:
        chunk = stream.read(1 << 20)
        pending = len(decoder.getstate()[0])  # start of a character that the last chunk cut
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            name = encoding.upper().removesuffix("-SIG")
            advice = "(for example: iconv -f latin1 -t utf-8)" if name == "UTF-8" else "anew"
            raise UserError(
                f"{where}: not {name} at byte {offset - pending + error.start}; save it as UTF-8 "
                f"{advice}"
            ) from None
        offset += len(chunk)
