"""Reading rows: every format gives the same, cells stand as written, mistakes are told."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from raykd.config.task import TaskConfig
from raykd.data.columns import Row
from raykd.data.prepared import prepare
from raykd.data.readers import read
from raykd.errors import UserError

from ..support.world import texts, write_csv

Table = dict[str, list[Any]]


def write(path: Path, table: Table) -> Path:
    """The table in the format that the path's ending names."""
    names = list(table)
    rows = list(zip(*table.values(), strict=True))
    match path.suffix:
        case ".csv":
            with path.open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows([names, *rows])
        case ".tsv":
            lines = ["\t".join(map(str, cells)) for cells in (names, *rows)]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        case ".jsonl":
            lines = [json.dumps(dict(zip(names, r, strict=True))) for r in rows]
            path.write_text("\n".join(lines), encoding="utf-8")
        case ".json":
            records = [dict(zip(names, r, strict=True)) for r in rows]
            path.write_text(json.dumps(records), encoding="utf-8")
        case ".parquet":
            datasets.Dataset.from_dict(table).to_parquet(str(path))
    return path


def rows(path: Path, home: Path, **task: Any) -> list[Row]:
    return read(TaskConfig(data=str(path), **task), home, "sweep.yaml").rows()


def told(path: Path, home: Path, **task: Any) -> str:
    with pytest.raises(UserError) as error:
        prepare(TaskConfig(data=str(path), **task), home, "sweep.yaml")
    assert len(error.value.lines) == 1 and "\n" not in str(error.value)
    return str(error.value)


# Formats

FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
REVIEWS: Table = {
    "id": list(range(60)),
    "text": [f"a film «{i}» that \"moves\", 'so' it says" for i in range(60)],
    "other": [f"plot {i}" for i in range(60)],
    "label": ["gut" if i % 3 else "schlecht" for i in range(60)],
    "stars": [i % 4 - 1 for i in range(60)],
    "seen": [i % 5 == 0 for i in range(60)],
}


@pytest.mark.parametrize(
    ("label", "names"),
    [("label", ("gut", "schlecht")), ("stars", ("-1", "0", "1", "2")), ("seen", ("False", "True"))],
)
def test_every_format_holds_the_same_rows(
    tmp_path: Path, label: str, names: tuple[str, ...]
) -> None:
    found = {
        suffix: prepare(
            TaskConfig(data=str(write(tmp_path / f"rows{suffix}", REVIEWS)), label=label),
            tmp_path / "home",
            "sweep.yaml",
        )
        for suffix in FORMATS
    }
    assert len({p.fingerprint for p in found.values()}) == 1
    assert {p.labels for p in found.values()} == {names}


@pytest.mark.parametrize("suffix", FORMATS)
def test_pairs_of_texts(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"rows{suffix}", REVIEWS)
    found = rows(path, tmp_path / "home", text=["other", "text"])
    assert found[7].texts == ("plot 7", REVIEWS["text"][7])


def test_cells_are_read_as_they_stand(tmp_path: Path) -> None:
    cells = ["007", "1e5", "NA", "None", "null", "True", "2020-01-01", '"quoted" word', "a,b\nc"]
    path = write(tmp_path / "rows.csv", {"text": cells, "label": ["x", "y", "z"] * 3})
    assert [r.texts[0] for r in rows(path, tmp_path / "home")] == cells


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["True", "False"], ["True", "False"]),
        (["NA", "None"], ["NA", "None"]),
        (["0", "10"], [0, 10]),
        (["1.0", "-1.0"], [1, -1]),
        (["0", "x"], ["0", "x"]),
        ([" good ", "bad"], ["good", "bad"]),
    ],
)
def test_labels_are_strings_or_whole_numbers(
    tmp_path: Path, cells: list[str], labels: list[str | int]
) -> None:
    path = write(tmp_path / "rows.csv", {"text": ["a", "b"], "label": cells})
    assert [r.label for r in rows(path, tmp_path / "home")] == labels


def test_a_column_of_numbers_may_end_in_words(tmp_path: Path) -> None:
    """Readers that guess a column's type from its first ten thousand rows fail here."""
    count = 10_050
    table: Table = {"text": [*range(count), "word"], "label": [*([1, 0] * (count // 2)), "maybe"]}
    found = rows(write(tmp_path / "rows.csv", table), tmp_path / "home")
    assert (found[3].texts, found[3].label) == (("3",), "0")
    assert (found[-1].texts, found[-1].label) == (("word",), "maybe")


def test_quotation_marks_in_tabbed_files_are_text(tmp_path: Path) -> None:
    table = {"text": ['"opens here', "plain", 'closes" here', "last"], "label": list("abab")}
    found = rows(write(tmp_path / "rows.tsv", table), tmp_path / "home")
    assert [r.texts[0] for r in found] == table["text"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"rows{suffix}", {"text": ["a", "b"], "label": ["x", "y"]})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(rows(path, tmp_path / "home")) == 2


def test_a_file_changed_under_the_same_name_and_time_is_read_anew(tmp_path: Path) -> None:
    path, home = tmp_path / "rows.csv", tmp_path / "home"
    for word in ("first", "other"):
        write(path, {"text": [f"{word} {i}" for i in range(60)], "label": ["x", "y"] * 30})
        os.utime(path, (1, 1))
        found = prepare(TaskConfig(data=str(path)), home, "sweep.yaml")
        assert all(t.startswith(word) for t in found.rows("train")["text"])


def test_local_files_need_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    path = write_csv(tmp_path / "rows.csv", texts(60))
    prepare(TaskConfig(data=str(path)), tmp_path / "home", "sweep.yaml")


def test_reading_leaves_no_second_copy(tmp_path: Path) -> None:
    path, home = write_csv(tmp_path / "rows.csv", texts(60)), tmp_path / "home"
    prepare(TaskConfig(data=str(path)), home, "sweep.yaml")
    assert [p.name for p in home.iterdir()] == ["data"]


# Mistakes


def lines(*rows: object, header: str = "text,label") -> Callable[[Path], object]:
    return lambda p: p.write_text("\n".join([header, *map(str, rows)]) + "\n", encoding="utf-8")


GOOD_ROWS = [f"text {i},{'yn'[i % 2]}" for i in range(60)]
MISTAKES: dict[str, tuple[str, Callable[[Path], object], dict[str, Any], tuple[str, ...]]] = {
    "a cell too many": (
        "a.csv", lines(*GOOD_ROWS, "a,b,c"), {}, ("cannot be read as csv", "line 62"),
    ),
    "a label left out": (
        "a.csv", lines(*GOOD_ROWS, "text"), {}, ("line 62", "1 field,", "header 2"),
    ),
    "an empty label": (
        "a.csv", lines(*GOOD_ROWS, "text,"), {}, ("1 row", "empty label", "row 61"),
    ),
    "more empty texts than are named": (
        "a.csv", lines(*[" ,y"] * 7, *GOOD_ROWS), {},
        ("7 rows", "empty text", "(row 1, 2, 3, 4, 5, ...)"),
    ),
    "fractions for labels": (
        "a.csv", lines("a,0.5", "b,1"), {}, ("task.label", "'label'", "0.5", "whole numbers"),
    ),
    "broken JSON": (
        "a.jsonl", lines('{"text": ', header='{"text": "a", "label": 1}'), {},
        ("cannot be read as json",),
    ),
    "JSON of another shape": (
        "a.json", lines(header='{"data": [{"text": "a", "label": 1}]}'), {},
        ("task.text", "'text'", "it has data"),
    ),
    "lists for texts": (
        "a.jsonl", lines(header='{"text": ["a", "b"], "label": 1}'), {},
        ("task.text", "'text'", "a text is a string"),
    ),
    "dictionaries for labels": (
        "a.jsonl", lines(header='{"text": "a", "label": {"b": 1}}'), {},
        ("task.label", "{'b': 1}"),
    ),
    "a key left out of a JSON line": (
        "a.jsonl", lines('{"text": "b"}', header='{"text": "a", "label": 1}'), {},
        ("empty label", "row 2"),
    ),
    "no Parquet inside": ("a.parquet", lines(), {}, ("cannot be read as parquet",)),
    "an unknown ending": ("a.xlsx", lines(), {}, ("a.xlsx", ".csv", ".parquet")),
    "cut in the middle of a character": (
        "a.csv", lambda p: p.write_bytes(b"text,label\na,b\ncaf\xc3"), {}, ("byte 18", "UTF-8"),
    ),
    "a column that is not there, of a pair": (
        "a.csv", lines(*GOOD_ROWS), {"text": ["text", "text_2"]},
        ("task.text", "'text_2'", "it has text, label"),
    ),
    "a split column that is not there": (
        "a.csv", lines(*GOOD_ROWS), {"split": "fold"}, ("task.split", "'fold'"),
    ),
    "an unknown split": (
        "a.csv", lines("a,b,train", "c,d,holdout", header="text,label,fold"), {"split": "fold"},
        ("task.split", "'fold'", "'holdout'", "train, select or test"),
    ),
    "no rows of one split": (
        "a.csv",
        lines("a,b,select", "c,d,test", "e,b,test", header="text,label,fold"),
        {"split": "fold"},
        ("no rows for train", "'fold'"),
    ),
    "shares that leave no training rows": (
        "a.csv", lines(*GOOD_ROWS), {"select_share": 0.6, "test_share": 0.6},
        ("no rows for train", "smaller shares"),
    ),
    "a label without training rows": (
        "a.csv",
        lines("a,b,train", "c,d,train", "e,odd,select", "f,b,test", header="text,label,fold"),
        {"split": "fold"},
        ("task.label", "odd", "no training row"),
    ),
    "one class in train": (
        "a.csv",
        lines("a,b,train", "e,c,select", "f,b,test", header="text,label,fold"),
        {"split": "fold"},
        ("task.label", "'b'", "two classes"),
    ),
    "f1 of three classes": (
        "a.csv", lines(*(f"text {i},{i % 3}" for i in range(90))), {"metric": "f1"},
        ("task.metric", "f1", "3", "macro_f1"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_in_one_line(tmp_path: Path, case: str) -> None:
    name, make, task, wanted = MISTAKES[case]
    make(tmp_path / name)
    message = told(tmp_path / name, tmp_path / "home", **task)
    for part in ("sweep.yaml", "task.", *wanted):
        assert part in message
    stored = tmp_path / "home" / "data"
    assert case == "f1 of three classes" or not stored.exists()


def test_bytes_are_counted_over_the_whole_file(tmp_path: Path) -> None:
    """Characters are cut by the chunks that are read: two bytes each, from an odd offset."""
    path = tmp_path / "rows.csv"
    start = b"text,label\n" + "é".encode() * (1 << 20)
    path.write_bytes(start + b"\xff,x\n")
    assert f"byte {len(start)};" in told(path, tmp_path / "home")


def test_a_mistake_is_all_that_is_said(tmp_path: Path) -> None:
    """In a process of its own: no bars, no log lines and no warnings of the libraries beneath."""
    write_csv(tmp_path / "good.csv", texts(60))
    (tmp_path / "bad.csv").write_text("text,label\na,b\na,b,c,d\n")
    (tmp_path / "bad.jsonl").write_text('{"text": \n')
    program = (
        "from pathlib import Path; from raykd.config.sweep import TaskConfig\n"
        "from raykd.data.prepared import prepare; from raykd.errors import UserError\n"
        "for data in ('good.csv', 'bad.csv', 'bad.jsonl', 'owner/set'):\n"
        "    try: prepare(TaskConfig(data=data), Path('home'), 'sweep.yaml')\n"
        "    except UserError as error: print(error)"
    )
    unset = {"DATASETS_VERBOSITY", "HF_HUB_VERBOSITY", "HF_HUB_DISABLE_PROGRESS_BARS"}
    env = {k: v for k, v in os.environ.items() if k not in unset}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**env, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")},
    )  # fmt: skip
    assert done.stderr == ""
    bad_csv, bad_json, hub_name = done.stdout.splitlines()
    assert "bad.csv" in bad_csv and "bad.jsonl" in bad_json
    for part in ("sweep.yaml", "task.data", "owner/set", "movie-reviews", "network"):
        assert part in hub_name
