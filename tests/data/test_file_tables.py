"""CSV, TSV and JSON as tables: no cell in another column, none of another value than it has."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raykd.config.task import TaskConfig
from raykd.data.file_tables import delimited, every_column, json_table
from raykd.data.prepared import prepare
from raykd.data.readers import read
from raykd.errors import UserError

from .test_readers import rows, told, write

DELIMITERS = {".csv": ",", ".tsv": "\t"}


def lines_of(path: Path, header: list[str], table: list[list[str]]) -> Path:
    """Cells as they are given, whatever their number."""
    delimiter = DELIMITERS[path.suffix]
    path.write_text("".join(delimiter.join(cells) + "\n" for cells in [header, *table]))
    return path


# Separators


@pytest.mark.parametrize(
    ("suffix", "mark", "advice"),
    [
        (".csv", ";", "semicolons, see the first line; save it with commas (.csv) or tabs (.tsv)"),
        (".csv", "\t", "tabs, see the first line; name it .tsv"),
        (".csv", "|", "vertical bars"),
        (".tsv", ",", "commas, see the first line; name it .csv"),
        (".tsv", ";", "semicolons"),
    ],
)
@pytest.mark.parametrize("quoted", [False, True])
def test_another_separator_is_named(
    tmp_path: Path, suffix: str, mark: str, advice: str, quoted: bool
) -> None:
    """Spreadsheets of many countries write semicolons. A quoted text would be the first mistake."""
    path, text = tmp_path / f"a{suffix}", '"a, b"' if quoted else "a b"
    path.write_text(f"text{mark}label\n" + f"{text}{mark}x\n" * 9)
    assert f"{path}: its columns are separated by {advice}" in told(path, tmp_path / "home")
    with pytest.raises(UserError, match="its columns are separated by"):
        every_column(path, "t")


# Ragged rows


@pytest.mark.parametrize("suffix", DELIMITERS)
@pytest.mark.parametrize(
    ("ragged", "line"), [(range(40), 2), ([0], 2), ([17], 19), ([39], 41), ([3, 9, 20], 5)]
)
@pytest.mark.parametrize("more", [1, 2, -1])
def test_rows_that_do_not_fit_the_header_are_refused(
    tmp_path: Path, suffix: str, ragged: Any, line: int, more: int
) -> None:
    """All rows or one: pandas takes four cells under three names for an index and three columns."""
    table = [[f"head {i}", f"body {i}", "np"[i % 2]] for i in range(40)]
    for i in ragged:
        table[i] = [*table[i], "web", "x"][: 3 + more]
    path = lines_of(tmp_path / f"a{suffix}", ["headline", "body", "label"], table)
    said = told(path, tmp_path / "home", text="headline")
    assert f"{path}: cannot be read as {suffix[1:]}: line {line} has {3 + more} fields" in said
    assert "the header 3" in said
    assert (f"and {len(ragged) - 1} more row" in said) == (len(ragged) > 1)


def test_a_line_is_counted_as_an_editor_counts_it(tmp_path: Path) -> None:
    """A cell over several lines, and blank lines, come before the row that is named."""
    path = tmp_path / "a.csv"
    path.write_text('text,label\r\n"one\r\ntwo",a\r\n\r\nb,c\r\n"x\n\ny",b,c\r\n')
    assert "line 6 has 3 fields" in told(path, tmp_path / "home")


@pytest.mark.parametrize("at", [0, 1, 7])
def test_a_quotation_that_is_never_closed_is_refused_where_it_opens(
    tmp_path: Path, at: int
) -> None:
    table = [[f"text {i}", "ab"[i % 2]] for i in range(8)]
    table[at][0] = f'"{table[at][0]}'
    path = lines_of(tmp_path / "a.csv", ["text", "label"], table)
    said = told(path, tmp_path / "home")
    assert f"begins on line {at + 2} is never closed" in said


@pytest.mark.parametrize(
    "cell",
    ['"Great" film', '"a "great" film"', r'"a \"great\" film"', '"Great film" ', '"a""b" c'],
)
def test_text_behind_a_closing_quotation_mark_is_refused(tmp_path: Path, cell: str) -> None:
    """Joined to its cell it would be another text than the one that was meant."""
    table = [[f"text {i}", "ab"[i % 2]] for i in range(40)]
    table[7][0] = cell
    path = lines_of(tmp_path / "a.csv", ["text", "label"], table)
    said = told(path, tmp_path / "home")
    assert "line 9, in the row that begins on line 9: text follows a closing quotation" in said
    assert rows(lines_of(tmp_path / "a.tsv", ["text", "label"], table), tmp_path / "home")


def test_a_mark_that_is_not_closed_takes_no_rows_with_it(tmp_path: Path) -> None:
    """Two fields in all, as the header has: three rows would be one."""
    table = [[f"text {i}", "ab"[i % 2]] for i in range(40)]
    table[5][0], table[7][0] = '"Good film', 'the "best film'
    path = lines_of(tmp_path / "a.csv", ["text", "label"], table)
    said = told(path, tmp_path / "home")
    assert "line 9, in the row that begins on line 7: " in said


# Headers


@pytest.mark.parametrize("suffix", DELIMITERS)
def test_a_column_that_is_named_twice_is_refused_where_the_task_reads_it(
    tmp_path: Path, suffix: str
) -> None:
    table = [[f"one {i}", f"two {i}", "ab"[i % 2], "z"] for i in range(60)]
    path = lines_of(tmp_path / f"a{suffix}", ["text", "text", "label", "label"], table)
    said = told(path, tmp_path / "home")
    assert "task.text" in said and "'text' more than once (columns 1, 2)" in said
    path = lines_of(tmp_path / f"b{suffix}", ["x", "text", "x", "label"], table)
    assert rows(path, tmp_path / "home")[0].texts == ("two 0",)  # nothing reads x


@pytest.mark.parametrize("suffix", DELIMITERS)
def test_columns_without_a_name_are_passed_over(tmp_path: Path, suffix: str) -> None:
    """What pandas writes of a frame with its index."""
    table = [[str(i), f"text {i}", "ab"[i % 2], ""] for i in range(60)]
    path = lines_of(tmp_path / f"a{suffix}", ["", "text", "label", ""], table)
    assert rows(path, tmp_path / "home")[7].texts == ("text 7",)
    assert "(one without a name)" in told(path, tmp_path / "home", text="body")


# Cells


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=6))
def test_cells_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("cells") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
        writer.writerows([("text", "label"), *table])
    found = delimited(path, TaskConfig(data=str(path)), "sweep.yaml", "here")
    assert [*zip(found["text"], found["label"], strict=True)] == table


def test_a_cell_may_be_a_whole_document(tmp_path: Path) -> None:
    long = "word " * 50_000
    path = write(tmp_path / "a.csv", {"text": [long, "b"], "label": ["x", "y"]})
    assert rows(path, tmp_path / "home")[0].texts == (long.strip(),)


TEXTS = ["2020-01-01", "2020-01-01T10:00:00", "007", "1.0", "true", "null", "NaN"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_a_text_is_no_date_and_no_number_in_any_format(tmp_path: Path, suffix: str) -> None:
    for text in TEXTS:  # alone in its column, where a reader that guesses would guess
        path = write(tmp_path / f"a{suffix}", {"text": [text, text], "label": ["x", "y"]})
        assert {r.texts for r in rows(path, tmp_path / "home")} == {(text,)}


# JSON


def test_json_values_are_what_json_says(tmp_path: Path) -> None:
    """Numbers of any size, and keys that not every object has."""
    records = [{"a": 2**70, "b": 1.0}, {"b": 2**53 + 1, "c": None}, {"a": "2020-01-01", "d": [1]}]
    for name, text in (
        ("a.jsonl", "\n".join(map(json.dumps, records))),
        ("a.json", json.dumps(records, indent=2)),
        ("b.json", "\r\n".join(map(json.dumps, records)) + "\n\n"),
    ):
        (tmp_path / name).write_text(text)
        found = json_table(tmp_path / name, "here")
        assert len(found) == 3 and found.column_names == ["a", "b", "c", "d"]
        assert [*found] == [{k: r.get(k) for k in "abcd"} for r in records]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"text": "a", "label": 1}\n\n{"text": }', "line 3"),
        ('[\n{"text": "a"},\n{"text": }]', "line 3"),
        ('{"text": "a", "text": "b", "label": 1}', "'text' stands twice"),
        ('["text", "label"]', "a row is an object, not text"),
        ("3\n4", "a row is an object, not 3"),
    ],
)
def test_json_that_is_no_table_is_refused_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    line = told(tmp_path / "a.jsonl", tmp_path / "home")
    assert "cannot be read as json" in line and said in line


# Several files


TRAIN = {"text": [f"train {i}" for i in range(80)], "label": ["a", "b"] * 40}
TEST = {"text": [f"test {i}" for i in range(20)], "label": ["a", "b"] * 10}


@pytest.mark.parametrize(("one", "other"), [(".csv", ".csv"), (".jsonl", ".parquet")])
def test_a_folder_or_two_files_are_one_data_set(tmp_path: Path, one: str, other: str) -> None:
    """As a hub set of the same shape: select is cut from train by hash."""
    train, test = write(tmp_path / f"train{one}", TRAIN), write(tmp_path / f"test{other}", TEST)
    named = {"train": str(train), "test": str(test)}
    folder, files = (
        prepare(TaskConfig(data=data), tmp_path / "home", "sweep.yaml")
        for data in (str(tmp_path), named)
    )
    assert folder.fingerprint == files.fingerprint
    assert folder.counts["test"] == 20 and folder.counts["train"] + folder.counts["select"] == 80
    assert folder.counts["select"] > 0 and folder.report.hashed == ("select",)
    column = {k: [*TRAIN[k], *TEST[k]] for k in TRAIN} | {"fold": ["train"] * 80 + ["test"] * 20}
    path = write(tmp_path / "whole.csv", column)
    whole = prepare(TaskConfig(data=str(path), split="fold"), tmp_path / "home", "sweep.yaml")
    assert whole.fingerprint == folder.fingerprint


def test_labels_mean_the_same_in_all_files_of_a_set(tmp_path: Path) -> None:
    """Numbers in one file are texts where another file has a text."""
    write(tmp_path / "train.csv", {**TRAIN, "label": ["7", "007"] * 40})
    write(tmp_path / "test.csv", {**TEST, "label": ["7"] * 20})
    found = prepare(TaskConfig(data=str(tmp_path)), tmp_path / "home", "sweep.yaml")
    assert found.labels == ("007", "7")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["test.csv"], "the folder has no train.csv"),
        (["train.csv", "train.tsv", "test.csv"], "train.csv and train.tsv are one split"),
        (["notes.txt"], "the folder has no train.csv"),
    ],
)
def test_a_folder_that_is_no_data_set_is_told(tmp_path: Path, names: list[str], said: str) -> None:
    folder = tmp_path / "set.csv"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("text,label\na,b\n")
    with pytest.raises(UserError) as error:
        read(TaskConfig(data=str(folder)), tmp_path / "home", "sweep.yaml")
    assert said in str(error.value) and len(error.value.lines) == 1


def test_a_mistake_in_one_of_several_files_names_it(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", TRAIN)
    (tmp_path / "test.csv").write_text("text,kind\na,b\n")
    assert f"{tmp_path / 'test.csv'} has no column 'label'" in told(tmp_path, tmp_path / "home")
    (tmp_path / "test.csv").write_text("text,label\na,b,c\n")
    assert f"{tmp_path / 'test.csv'}: cannot be read as csv: line 2" in told(
        tmp_path, tmp_path / "home"
    )


def test_half_a_surrogate_pair_is_refused_with_its_row(tmp_path: Path) -> None:
    emoji, half = r"\ud83d\ude00", r"\ud83d"
    records = [f'{{"text": "a {i} {emoji}", "label": "{"xy"[i % 2]}"}}' for i in range(60)]
    (tmp_path / "a.jsonl").write_text("\n".join(records))
    assert "\U0001f600" in rows(tmp_path / "a.jsonl", tmp_path / "home")[0].texts[0]
    records[6] = f'{{"text": "b {half}", "label": "x"}}'
    (tmp_path / "a.jsonl").write_text("\n".join(records))
    assert "row 7 has half of a surrogate pair" in told(tmp_path / "a.jsonl", tmp_path / "home")
