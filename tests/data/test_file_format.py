"""Endings, compression, encodings and names of data files (data 11): what can be read is read as
its plain copy is, and what cannot is named in one line."""

from __future__ import annotations

import codecs
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.config.task import TaskConfig
from raykd.data.prepared import prepare
from raykd.data.whole_file import read_columns
from raykd.errors import UserError

from ..support.world import write_csv
from .test_readers import FORMATS, REVIEWS, told, write

TEXTS = tuple(suffix for suffix in FORMATS if suffix != ".parquet")


def fingerprint(data: Any, home: Path, **task: Any) -> str:
    return prepare(TaskConfig(data=data, **task), home, "sweep.yaml").fingerprint


def columns(path: Path, home: Path) -> dict[str, list[Any]]:
    return read_columns(path, home, "--data")


def encoded(encoding: str, mark: bytes = b"") -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_bytes(mark + path.read_text(encoding="utf-8").encode(encoding))

    return change


ENCODINGS = {
    "UTF-16 LE": encoded("utf-16-le", codecs.BOM_UTF16_LE),
    "UTF-16 BE": encoded("utf-16-be", codecs.BOM_UTF16_BE),
    "UTF-32": encoded("utf-32-le", codecs.BOM_UTF32_LE),
    "UTF-8 with a mark": encoded("utf-8", codecs.BOM_UTF8),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("suffix", TEXTS)
def test_an_encoding_is_known_by_its_mark(tmp_path: Path, suffix: str, encoding: str) -> None:
    path, home = write(tmp_path / f"rows{suffix}", REVIEWS), tmp_path / "home"
    plain = fingerprint(str(path), home), columns(path, home)
    ENCODINGS[encoding](path)
    assert (fingerprint(str(path), home), columns(path, home)) == plain


@pytest.mark.parametrize("name", ["rows{}.gz", "Rows{}.GZ", "rows{}"])
@pytest.mark.parametrize("suffix", TEXTS)
def test_a_compressed_file_is_its_content(tmp_path: Path, suffix: str, name: str) -> None:
    """Also where the name does not say that it is compressed."""
    path, home = write(tmp_path / f"plain{suffix}", REVIEWS), tmp_path / "home"
    packed = tmp_path / name.format(suffix)
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert fingerprint(str(packed), home) == fingerprint(str(path), home)
    assert columns(packed, home) == columns(path, home)


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_ending_is_known_in_any_case(tmp_path: Path, suffix: str) -> None:
    path, home = write(tmp_path / f"rows{suffix}", REVIEWS), tmp_path / "home"
    plain = fingerprint(str(path), home)
    upper = path.rename(tmp_path / f"ROWS{suffix.upper()}")
    assert fingerprint(str(upper), home) == plain and columns(upper, home)


def stated(folder: Path, *names: str) -> dict[str, Path]:
    """A file of 60 rows for each name, in a folder."""
    folder.mkdir()
    found = {}
    for name in names:
        rows = [(f"{name} {i}", "xy"[i % 2]) for i in range(60)]
        plain = write_csv(folder / "draft", rows)
        content = plain.read_bytes()
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        plain.unlink()
        found[name] = folder / name
    return found


@pytest.mark.parametrize("folder", ["data", "x.csv", "x.csv.gz"])
@pytest.mark.parametrize("names", [("train.csv", "test.csv"), ("TRAIN.csv.gz", "Test.CSV")])
def test_two_files_are_one_data_set_by_name_or_in_a_folder_of_any_name(
    tmp_path: Path, folder: str, names: tuple[str, str]
) -> None:
    files, home = stated(tmp_path / folder, *names), tmp_path / "home"
    train, test = (str(files[name]) for name in names)
    found = prepare(TaskConfig(data={"train": train, "test": test}), home, "sweep.yaml")
    assert found.counts["test"] == 60 and sum(found.counts.values()) == 120
    assert {text.split()[0] for text in found.rows("test")["text"]} == {names[1]}
    assert fingerprint(str(tmp_path / folder), home) == found.fingerprint
    assert len(columns(tmp_path / folder, home)["text"]) == 60


def zero_width(path: Path) -> None:
    write_csv(path, [(f"text {i}", ["pos", "neg", "pos\u200b"][i % 3]) for i in range(90)])


def decomposed(path: Path) -> None:
    write_csv(path, [(f"text {i}", ["caf\u00e9", "neg", "cafe\u0301"][i % 3]) for i in range(90)])


def conversations(path: Path) -> None:
    turns = [{"role": "user", "content": "hello"}]
    path.write_text("\n".join(json.dumps({"messages": turns, "label": i % 2}) for i in range(60)))


GOOD = ("text,label\n" + "".join(f"text {i},{i % 2}\n" for i in range(60))).encode()
MISTAKES: dict[str, tuple[str, Callable[[Path], object], dict[str, Any], tuple[str, ...]]] = {
    "UTF-16 without a mark": (
        "a.csv", lambda p: p.write_bytes(GOOD.decode().encode("utf-16-le")), {},
        ("UTF-16 without a mark", "iconv -f utf-16le"),
    ),
    "UTF-16 cut in a character": (
        "a.csv", lambda p: p.write_bytes(codecs.BOM_UTF16_LE + "text".encode("utf-16-le")[:-1]), {},
        ("not UTF-16 at byte",),
    ),
    "gzip that is cut": (
        "a.csv.gz", lambda p: p.write_bytes(gzip.compress(GOOD)[:-9]), {}, ("gzip",),
    ),
    "Latin 1 in gzip": (
        "a.csv.gz", lambda p: p.write_bytes(gzip.compress(b"text,label\ncaf\xe9,x\n")), {},
        ("not UTF-8 at byte 14", "iconv"),
    ),
    "compressed Parquet": ("a.parquet.gz", lambda p: p.write_bytes(GOOD), {}, ("write a .csv",)),
    "a header that names a column twice": (
        "a.csv", lambda p: p.write_bytes(GOOD.replace(b"text,label", b"text,text")),
        {"label": "text"},
        ("task.text", "'text' more than once (columns 1, 2)"),
    ),
    "messages for texts": (
        "a.jsonl", conversations, {"text": "messages"},
        ("task.text", "'messages'", "conversations"),
    ),
    "messages and no text": (
        "a.jsonl", conversations, {}, ("task.text", "'text'", "conversations"),
    ),
    "a zero-width space in a label": (
        "a.csv", zero_width, {}, ("task.label", "'pos'", r"'pos\u200b'", "two classes"),
    ),
    "a decomposed letter in a label": (
        "a.csv", decomposed, {}, ("task.label", r"'caf\xe9'", r"'cafe\u0301'"),
    ),
    "a folder without a train file": ("x.csv", lambda p: p.mkdir(), {}, ("has no train.csv",)),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_what_cannot_be_read_is_named_in_a_line(tmp_path: Path, case: str) -> None:
    name, make, task, wanted = MISTAKES[case]
    make(tmp_path / name)
    message = told(tmp_path / name, tmp_path / "home", **task)
    for part in ("sweep.yaml: task.", *wanted):
        assert part in message


@pytest.mark.parametrize("address", ["https://host/rows.csv", "s3://bucket/rows", "HTTP://host/x"])
def test_an_address_is_named_as_one(tmp_path: Path, address: str) -> None:
    for data in (address, {"train": "train.csv", "test": address}):
        with pytest.raises(UserError) as error:
            prepare(TaskConfig(data=data), tmp_path / "home", "sweep.yaml")
        (line,) = error.value.lines
        assert "task.data" in line and address in line and "download it" in line
    new = CliRunner().invoke(app, ["new", str(tmp_path / "my.yaml"), "--data", address])
    assert new.exit_code != 0 and "download it" in " ".join(new.stderr.split())


def test_a_folder_among_files_is_named_as_one(tmp_path: Path) -> None:
    train = write_csv(tmp_path / "train.csv", [("a", "x"), ("b", "y")])
    (tmp_path / "test.csv").mkdir()
    data = {"train": str(train), "test": str(tmp_path / "test.csv")}
    with pytest.raises(UserError, match=r"test.csv: is a folder; write the path of a file"):
        prepare(TaskConfig(data=data), tmp_path / "home", "sweep.yaml")
