"""Rows whose columns hold lists, several right texts or turns; test in parts; what is empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from raykd.config.task import TaskConfig
from raykd.data.columns import Reading, Row
from raykd.data.data_report import DataReport
from raykd.data.explode import UNFOLDINGS, coqa
from raykd.data.prepared import Prepared, load, prepare
from raykd.data.readers import to_rows
from raykd.data.splits import REFERENCES, into_splits, label_names
from raykd.errors import UserError

from ..support.world import texts
from .test_hub import hub, table
from .test_readers import told, write


def made(columns: dict[str, list[Any]], **task: Any) -> list[Row]:
    found = datasets.Dataset.from_dict(columns)
    return to_rows(found, TaskConfig(data="rows.jsonl", **task), "s.yaml", "s.yaml: task.data").rows


def refused(columns: dict[str, list[Any]], **task: Any) -> str:
    with pytest.raises(UserError) as error:
        made(columns, **task)
    (line,) = error.value.lines
    return line


# Lists


TRIPLES = [[["Ann", "lives in", "Oslo"], ["Oslo", "is in", "Norway"]], [["Ann", "is", " tall "]]]
WRITTEN = {"kind": "seq2seq", "source": "triples", "target": "said"}


def test_a_list_is_joined_and_lists_within_it_by_the_next_separator() -> None:
    columns = {"triples": TRIPLES, "said": ["one", "two"]}
    found = made(columns, join=[" | ", " : "], **WRITTEN)
    assert [r.texts for r in found] == [
        ("Ann : lives in : Oslo | Oslo : is in : Norway",),
        ("Ann : is : tall",),
    ]
    assert made({"text": [["a", "b"]], "label": ["x"]}, join=[" "])[0].texts == ("a b",)
    prompt = {"kind": "causal_lm", "prompt": "Say {words}:", "completion": "said"}
    rows = made({"words": [["a", "b"]], "said": ["x"]}, join=["+"], **prompt)
    assert rows == [Row(("Say a+b:",), "x")]


@pytest.mark.parametrize("join", [[], [" | "]])
def test_lists_deeper_than_the_separators_are_told(join: list[str]) -> None:
    line = refused({"triples": TRIPLES, "said": ["one", "two"]}, join=join, **WRITTEN)
    assert "the column 'triples' holds" in line and "lists as deep as `join`" in line


def test_a_text_is_itself_whatever_the_separators() -> None:
    assert made({"text": ["a | b"], "label": [1]}, join=[" | "])[0].texts == ("a | b",)


# Several right texts


def test_references_stand_beside_the_target_each_once() -> None:
    columns = {
        "triples": ["a", "b", "c"],
        "said": ["one", "two", ""],
        "more": [[], ["two", "zwei", " "], ["trei"]],
    }
    found = made(columns, references="more", **WRITTEN)
    assert [(r.texts[0], r.label) for r in found] == [
        ("a", "one"), ("b", "two"), ("b", "zwei"), ("c", "trei"),
    ]  # fmt: skip


def test_references_reach_the_scores_and_training_the_first(tmp_path: Path) -> None:
    rows = [{"s": f"x {i}", "t": f"one {i}", "r": [f"two {i}"]} for i in range(40)]
    columns = {k: [row[k] for row in rows] for k in ("s", "t", "r")}
    path = write(tmp_path / "rows.jsonl", columns)
    task = TaskConfig(kind="seq2seq", data=str(path), source="s", target="t", references="r")
    found = prepare(task, tmp_path / "home", "s.yaml")
    assert found.report.duplicates == 0 and sum(found.counts.values()) == 40
    assert all(len(str(label).split(REFERENCES)) == 2 for label in found.test_labels())


def test_references_that_are_no_list_are_told() -> None:
    line = refused({"triples": ["a"], "said": ["b"], "more": ["c"]}, references="more", **WRITTEN)
    assert line.startswith("s.yaml: task.references: the column 'more' holds 'c'")


# Turns


STORY = {
    "story": "A tale.",
    "questions": ["Who?", "Where?"],
    "answers": {"input_text": ["Ann", "Oslo"], "answer_start": [0, 1]},
}


def test_a_story_becomes_a_row_a_turn_with_what_was_said_before() -> None:
    assert list(coqa(STORY)) == [
        {"story": "A tale.", "dialogue": "Q: Who?\n\nA:", "question": "Who?", "answer": "Ann"},
        {
            "story": "A tale.",
            "dialogue": "Q: Who?\n\nA: Ann\n\nQ: Where?\n\nA:",
            "question": "Where?",
            "answer": "Oslo",
        },
    ]
    listed = {**STORY, "answers": [{"input_text": "Ann"}, {"input_text": "Oslo"}]}
    assert list(coqa(listed)) == list(coqa(STORY))


def test_turns_go_with_their_story_into_its_split() -> None:
    columns = {k: [v, v] for k, v in STORY.items()} | {"fold": ["train", "test"]}
    prompt = {"kind": "causal_lm", "prompt": "{story}\n{dialogue}", "completion": "answer"}
    found = made(columns, unfold="coqa", split="fold", **prompt)
    assert [r.split for r in found] == ["train", "train", "test", "test"]
    assert found[1].texts[0].startswith("A tale.\nQ: Who?") and found[1].label == "Oslo"


def test_turns_of_one_story_stand_in_one_split() -> None:
    """Where the split is by hash, it is the story's: else a test turn's dialogue would hold what
    was learned from. More rows of the file move none of them."""
    stories = [STORY | {"story": f"Tale {i}."} for i in range(60)]
    prompt = {"kind": "causal_lm", "prompt": "{story}\n{dialogue}", "completion": "answer"}

    def splits_of(count: int) -> dict[str, set[str]]:
        columns = {k: [story[k] for story in stories[:count]] for k in STORY}
        rows = made(columns, unfold="coqa", **prompt)
        task = TaskConfig(data="rows.jsonl", unfold="coqa", **prompt)
        found: dict[str, set[str]] = {}
        for split, own in into_splits(Reading(rows, DataReport()), task, "s.yaml")[0].items():
            for row in own:
                found.setdefault(row.texts[0].split("\n")[0], set()).add(split)
        return found

    found = splits_of(60)
    assert all(len(splits) == 1 for splits in found.values()) and len(found) == 60
    assert set.union(*found.values()) == {"train", "select", "test"}
    assert splits_of(40).items() <= found.items()


def test_columns_that_an_unfolding_needs_are_told() -> None:
    line = refused({"story": ["a"]}, unfold="coqa", kind="causal_lm", prompt="x", completion="y")
    assert line.endswith("has no 'questions'; it has story")
    assert set(UNFOLDINGS["coqa"].needs) == set(STORY)


# What is empty


def test_empty_rows_are_left_out_where_the_file_asks_for_it() -> None:
    columns = {"text": ["a", " ", "c"], "label": ["x", "y", None]}
    assert "1 rows with an empty text (row 2)" in refused(columns)
    assert made(columns, drop_empty=True) == [Row(("a",), "x")]
    prompt = {"kind": "causal_lm", "prompt": "{text}", "completion": "label"}
    assert made(columns, drop_empty=True, **prompt) == [Row(("a",), "x")]


# Classes


def test_a_hub_sets_classes_keep_its_order() -> None:
    rows = [Row(("a",), "not_duplicate", place=0), Row(("b",), "duplicate", place=1)]
    splits = {"train": rows, "select": rows, "test": rows}
    assert label_names(splits, "s.yaml") == ("not_duplicate", "duplicate")
    plain = {s: [Row(r.texts, r.label) for r in own] for s, own in splits.items()}
    assert label_names(plain, "s.yaml") == ("duplicate", "not_duplicate")


# Test in parts


PARTS = {"m": "validation_matched", "mm": "validation_mismatched"}


def mnli(folder: Path, monkeypatch: pytest.MonkeyPatch, **task: Any) -> Prepared:
    hub(
        monkeypatch,
        train=table("train", 100),
        validation_matched=table("val", 20),
        validation_mismatched=table("other", 30),
        test_matched=table("sealed", 20, label=-1),
    )
    stated = {"test_splits": PARTS, **task}
    return prepare(TaskConfig(data="owner/set", **stated), folder, "sweep.yaml")


def test_two_labelled_splits_are_one_test_in_two_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = mnli(tmp_path, monkeypatch)
    assert found.parts == {"m": 20, "mm": 30} and found.counts["test"] == 50
    words = [text.split()[0] for text in found.rows("test")["text"]]
    assert words == ["val"] * 20 + ["other"] * 30
    assert found.test_parts == {"m": slice(0, 20), "mm": slice(20, 50)}
    assert {text.split()[0] for text in found.rows("select")["text"]} == {"train"}
    assert load(found.folder) == found
    assert len(found.test_labels()) == 50 and "label" not in found.rows("test").column_names


def test_parts_are_part_of_what_data_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = dict(reversed(PARTS.items()))
    prints = {
        mnli(tmp_path, monkeypatch, test_splits=own).fingerprint for own in (PARTS, turned, None)
    }
    assert len(prints) == 3


def test_a_split_that_is_not_there_or_has_no_labels_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("validation_other", "test_matched"):
        with pytest.raises(UserError) as error:
            mnli(tmp_path, monkeypatch, test_splits={"m": "validation_matched", "x": name})
        (line,) = error.value.lines
        assert line == (
            f"sweep.yaml: task.test_splits.x: owner/set has no labelled split {name!r}; it has "
            "train, validation_matched, validation_mismatched"
        )


def folds(*names: str) -> dict[str, list[Any]]:
    rows = texts(60)
    return {
        "text": [f"{text} {i}" for i, (text, _) in enumerate(rows)],
        "label": [label for _, label in rows],
        "fold": [names[i % len(names)] for i in range(60)],
    }


def test_a_file_has_parts_through_its_split_column(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", folds("train", "dev", "near", "far"))
    task = TaskConfig(data=str(path), split="fold", test_splits={"a": "near", "b": "far"})
    found = prepare(task, tmp_path / "home", "s.yaml")
    assert found.parts == {"a": 15, "b": 15}
    assert found.counts == {"train": 15, "select": 15, "test": 30}


def test_mistakes_about_parts_are_told(tmp_path: Path) -> None:
    path, home = write(tmp_path / "rows.csv", folds("train", "near", "test")), tmp_path / "home"
    parts = {"a": "near", "b": "far"}
    line = told(path, home, split="fold", test_splits=parts)
    assert "holds 'test' too, which is none of near, far; name it as well" in line
    path = write(tmp_path / "other.csv", folds("train", "near"))
    line = told(path, home, split="fold", test_splits=parts)
    assert "task.test_splits.b: no row of" in line and "in the column 'fold'" in line
    assert "task.test_splits.a: no row" in told(path, home, test_splits=parts)


def test_parts_stand_in_order_whatever_the_rows_do() -> None:
    rows = [Row((f"row {i}",), i % 2, ["far", "near"][i % 2]) for i in range(40)]
    rows += [Row((f"rest {i}",), i % 2) for i in range(40)]
    task = TaskConfig(data="x.csv", split="fold", test_splits={"a": "near", "b": "far"})
    splits, _ = into_splits(Reading(rows, DataReport()), task, "s.yaml")
    stated = np.array([r.split for r in splits["test"]])
    assert (stated == ["near"] * 20 + ["far"] * 20).all()
    assert {r.split for name in ("train", "select") for r in splits[name]} == {None}


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ({"m": "a"}, "name two different splits or more"),
        ({"m": "a", "n": "a"}, "name two different splits or more"),
        ({"m": "a", "n/x": "b"}, "'n/x' is part of a metric's name"),
    ],
)
def test_parts_that_are_none(parts: dict[str, str], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        TaskConfig(data="x.csv", test_splits=parts)
