"""What became of the rows: splits that are lacking, duplicates, cut texts; counted and said."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raykd.config.task import TaskConfig
from raykd.data.data_report import (
    CAVEAT_SHARE,
    Cut,
    DataReport,
    caveats,
    lines,
    together,
)
from raykd.data.encoded import encode
from raykd.data.prepared import Prepared, load, prepare
from raykd.data.splits import SPLITS
from raykd.errors import UserError
from raykd.planning import truncation
from raykd.planning.study import Study

from ..support.eight_classes import CLASSES, rows
from ..support.world import texts, tokenizer, write_csv
from .test_hub import hub, table

Rows = Sequence[tuple[str, ...]]
HEADER = ("text", "label", "fold")


def prepared(folder: Path, given: Rows, name: str = "rows.csv", **task: Any) -> Prepared:
    header = HEADER[: len(given[0])]
    path = write_csv(folder / name, given, header)  # type: ignore[arg-type]
    split = {"split": "fold"} if len(header) == 3 else {}
    return prepare(TaskConfig(data=str(path), **split, **task), folder / "home", "sweep.yaml")


def stated(counts: dict[str, int]) -> list[tuple[str, str, str]]:
    """Rows of two classes, so many with each cell in the split column."""
    return [(f"{fold} row {i}", "ab"[i % 2], fold) for fold, n in counts.items() for i in range(n)]


def where(found: Prepared) -> dict[str, str]:
    return {text: split for split in SPLITS for text in found.rows(split)["text"]}


# A split that is lacking


def test_select_is_cut_from_train_where_the_column_has_none(tmp_path: Path) -> None:
    found = prepared(tmp_path, stated({"train": 200, "test": 40}))
    assert found.counts["test"] == 40 and found.counts["select"] > 0
    assert found.counts["train"] + found.counts["select"] == 200
    assert found.report.hashed == ("select",)
    assert any("select cut from train by hash" in line for line in lines(found.report))


@pytest.mark.parametrize("labels", [[-1, 1], ["", "b"]])
def test_a_split_is_unlabelled_only_where_it_has_no_label_at_all(
    tmp_path: Path, labels: list[Any]
) -> None:
    """Sorted by label, its first hundred rows say -1, which hub sets write for none; or nothing."""
    for name, count in (("train", 200), ("test", 150)):
        rows = [{"text": f"{name} {i}", "label": labels[i >= 100]} for i in range(count)]
        rows += [
            {"text": f"{name} a{i}", "label": "a" if labels[0] == "" else 0} for i in range(60)
        ]
        text = "\n".join(json.dumps(row) for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text)
    found = prepare(
        TaskConfig(data=str(tmp_path), drop_empty=True), tmp_path / "home", "sweep.yaml"
    )
    dropped = 0 if labels[0] == -1 else 100
    assert found.counts["test"] == 210 - dropped and found.report.unread == ()
    assert sum(found.counts.values()) == found.report.read - 2 * dropped == 470 - 2 * dropped


def test_a_select_split_without_a_test_split_is_the_test(tmp_path: Path) -> None:
    found = prepared(tmp_path, stated({"train": 200, "dev": 40}))
    assert {t.split()[0] for t in found.rows("test")["text"]} == {"dev"}
    assert found.counts["select"] > 0 and found.report.test_from_select


def test_a_column_of_train_rows_alone_is_cut_by_hash(tmp_path: Path) -> None:
    given = stated({"train": 300})
    found = prepared(tmp_path, given)
    plain = prepared(tmp_path, [row[:2] for row in given], "plain.csv")
    assert found.fingerprint == plain.fingerprint
    assert found.report.hashed == ("select", "test") and plain.report.hashed == ()


@pytest.mark.parametrize("shape", [("train", "test"), ("train", "validation"), ("train",)])
def test_a_column_is_a_hub_set_of_the_same_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[str, ...]
) -> None:
    sets = {name: table(name, 200) for name in shape}
    names = ["worse", "better"]
    column = [(r["text"], names[r["label"]], name) for name in shape for r in sets[name]]
    own = prepared(tmp_path, column)
    hub(monkeypatch, **sets)
    other = prepare(TaskConfig(data="owner/set"), tmp_path / "home", "sweep.yaml")
    assert own.counts == other.counts and where(own) == where(other)


def test_an_empty_cell_is_one_of_train_and_is_counted(tmp_path: Path) -> None:
    given = stated({"train": 100, "test": 30, "select": 30})
    blank = [(text, label, "" if i < 7 else fold) for i, (text, label, fold) in enumerate(given)]
    found = prepared(tmp_path, blank)
    assert found.report.unsplit == 7
    assert found.fingerprint == prepared(tmp_path, given, "whole.csv").fingerprint
    assert any("7 rows with an empty cell" in line for line in lines(found.report))


# Duplicates


def test_where_the_same_rows_stand_in_two_splits_test_keeps_them_in_any_order(
    tmp_path: Path,
) -> None:
    train = [row for row in stated({"train": 40})]
    again = [(text, label, "test") for text, label, _ in train[:20]]
    rest = stated({"select": 12})
    orders = [[*train, *rest, *again], [*again, *rest, *train]]
    orders.append(random.Random(1).sample(orders[0], len(orders[0])))
    found = [prepared(tmp_path, rows, f"{i}.csv") for i, rows in enumerate(orders)]
    assert len({p.fingerprint for p in found}) == 1
    for p in found:
        assert p.counts == {"train": 20, "select": 12, "test": 20}
        assert (p.report.duplicates, p.report.across, p.report.relabelled) == (20, 20, 0)


def test_select_keeps_its_rows_before_train(tmp_path: Path) -> None:
    given = stated({"train": 40, "select": 20, "test": 20})
    given += [(f"train row {i}", "ab"[i % 2], "select") for i in range(5)]
    found = prepared(tmp_path, given)
    assert found.counts == {"train": 35, "select": 25, "test": 20}


def test_duplicates_with_another_label_are_counted(tmp_path: Path) -> None:
    given = [(f"row {i}", "ab"[i % 2]) for i in range(100)]
    again = [*given, *given[:4], *((text, "b") for text, label in given[:20] if label == "a")]
    found = prepared(tmp_path, again)
    assert (found.report.duplicates, found.report.relabelled, found.report.across) == (14, 10, 0)
    assert found.fingerprint == prepared(tmp_path, given, "once.csv").fingerprint
    assert any("14 duplicate rows dropped; of them 10" in line for line in lines(found.report))


def test_references_are_of_the_split_that_keeps_the_source(tmp_path: Path) -> None:
    """A train target of a source that tests is no reference of the test."""
    given = [
        {"source": f"s {i}", "target": f"t {i}", "fold": fold}
        for i, fold in enumerate(["train"] * 30 + ["select"] * 10 + ["test"] * 10)
    ]
    given += [{"source": "s 45", "target": "of train", "fold": "train"}]
    given += [{"source": "s 46", "target": "too", "fold": "test"}]
    path = tmp_path / "rows.jsonl"
    for name, order in (("a", given), ("b", given[::-1])):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(map(json.dumps, order)))
        task = TaskConfig(kind="seq2seq", data=str(path), split="fold")
        found = prepare(task, tmp_path / "home", "sweep.yaml")
        labels = dict(zip(found.rows("test")["text"], found.test_labels(), strict=True))
        assert labels["s 45"] == "t 45" and set(labels["s 46"].split("\x1e")) == {"t 46", "too"}
        assert (found.report.duplicates, found.report.across) == (1, 1)


def test_rows_that_are_left_out_are_counted_by_reason(tmp_path: Path) -> None:
    given = [*texts(100), ("", "pos"), (" ", ""), ("a text", " ")]
    report = prepared(tmp_path, given, drop_empty=True).report
    assert report.read == 103 and report.dropped == {"empty text": 2, "empty label": 1}
    kept = 103 - 3 - report.duplicates
    assert sum(sum(own.values()) for own in report.classes.values()) == kept


# Cuts


class Base:
    """As much of a teacher's base as the report reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder


def study(found: Prepared, folder: Path, **task: Any) -> Study:
    tokenizer().save_pretrained(folder / "model")
    (folder / "model" / "config.json").write_text(
        json.dumps({"model_type": "bert", "max_position_embeddings": 64})
    )
    config: Any = type("Config", (), {"task": TaskConfig(data="rows.csv", **task)})
    limit = str(config.task.reading)
    return Study(config, "sweep.yaml", folder / "home", found, Base(folder / "model"), "t", limit)  # type: ignore[arg-type]


def alone(found: Prepared, split: str) -> np.ndarray:
    tok = tokenizer()
    return np.array([len(tok(text)["input_ids"]) for text in found.rows(split)["text"]])


@pytest.mark.parametrize("limit", [5, 9, 60, 512])
def test_what_is_cut_is_what_each_text_lacks(tmp_path: Path, limit: int) -> None:
    """60 tokens are what the tokenizer allows."""
    long = [(f"{text} " * (1 + i % 9), label) for i, (text, label) in enumerate(texts(150))]
    found = prepared(tmp_path, long)
    report = truncation.reported(study(found, tmp_path, max_length=limit))
    effective = min(limit, 60)
    for cut in report.cuts:
        lengths = alone(found, cut.split)
        assert (cut.rows, cut.cut) == (len(lengths), int((lengths > effective).sum()))
        assert (cut.tokens, cut.lost) == (
            int(lengths.sum()), int((lengths - effective).clip(0).sum())
        )  # fmt: skip
        assert cut.limit == effective
        assert cut.key == ("task.max_length" if limit <= 60 else "the model's positions")
    assert [c.split for c in report.cuts] == list(SPLITS)


def test_cuts_are_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = prepared(tmp_path, [(f"{t} " * 9, label) for t, label in texts(80)])
    first = truncation.reported(study(found, tmp_path, max_length=20))

    def tokenise(*_: object) -> None:
        raise AssertionError("tokenised again")

    monkeypatch.setattr(truncation, "_count_cuts", tokenise)
    assert truncation.reported(study(found, tmp_path, max_length=20)) == first
    with pytest.raises(AssertionError):
        truncation.reported(study(found, tmp_path, max_length=21))


def test_rows_tokenised_before_cuts_were_counted_are_counted_now(tmp_path: Path) -> None:
    """Stores of 0.1.0 hold no lengths before the cut; what they do hold stays as it is."""
    found = prepared(tmp_path, [(f"{t} " * 9, label) for t, label in texts(80)])
    first = encode(found, "train", tokenizer(), 20, tmp_path / "home")
    folder = tmp_path / "home" / "encoded" / first.fingerprint
    (folder / "whole.npy").unlink()
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    again = encode(found, "train", tokenizer(), 20, tmp_path / "home")
    assert again.fingerprint == first.fingerprint
    assert np.array_equal(again.whole, alone(found, "train"))  # type: ignore[arg-type]
    assert before == {p.name: p.stat().st_mtime_ns for p in folder.iterdir() if p.name in before}
    assert {p.name for p in folder.iterdir()} == {*before, "whole.npy"}


# The value


CUTS = (
    Cut("train", "texts", 128, "task.max_length", 1200, 412, 100_000, 31_000),
    Cut("test", "texts", 128, "task.max_length", 300, 0, 20_000, 0),
)
FULL = DataReport(
    read=1500, dropped={"empty text": 3}, duplicates=17, relabelled=2, across=5, unread=("extra",),
    unsplit=4, test_from_select=True, hashed=("select",), folded={"1": 5},
    lookalikes=(("7", "007"),), classes={"train": {"a": 2}}, noisy_labels=1, cuts=CUTS,
)  # fmt: skip


def test_a_report_goes_through_json() -> None:
    for report in (FULL, DataReport()):
        assert DataReport.from_json(json.loads(json.dumps(report.to_json()))) == report
    assert DataReport.from_json({}) == DataReport()
    assert DataReport.from_json({**FULL.to_json(), "of a later version": 1}) == FULL


def test_everything_that_happened_has_a_line_and_nothing_else() -> None:
    assert lines(DataReport(read=9)) == ()
    said = "\n".join(lines(FULL))
    for part in (
        "3 rows left out: empty text", "17 duplicate rows dropped", "2 with another label",
        "5 in two splits", "not read: extra", "4 rows with an empty cell",
        "its select rows are the test",
        "1.0 as 1", "'7', '007'", "rows of train: a 2",
        "labels of 1 of 2 rows of train replaced at random",
        "412 of 1,500 texts are longer than 128 tokens (task.max_length)", "26 % of tokens",
    ):  # fmt: skip
        assert part in said
    assert len(lines(FULL)) == 11


def test_a_caveat_begins_above_its_share() -> None:
    at = replace(CUTS[0], tokens=1000, lost=int(1000 * CAVEAT_SHARE))
    assert caveats(DataReport(read=100, cuts=(at,))) == ()
    (said,) = caveats(DataReport(read=100, cuts=(replace(at, lost=at.lost + 1),)))
    assert "are cut" in said
    assert caveats(DataReport(read=100, duplicates=10)) == ()
    (said,) = caveats(DataReport(read=100, duplicates=10, dropped={"empty text": 1}))
    assert said == "11 of 100 rows are dropped: 1 empty text, 10 duplicates"


def test_shares_are_of_the_kind_and_split_that_is_asked_for() -> None:
    more = replace(CUTS[0], what="targets", lost=0)
    report = DataReport(cuts=(*CUTS, more))
    assert report.cut_share("texts") == pytest.approx(31 / 120)
    assert report.cut_share("texts", "train") == pytest.approx(0.31)
    assert report.cut_share() == pytest.approx(31 / 220)
    assert report.cut_rows("texts") == (412, 1500) and DataReport().cut_share() == 0


def test_reports_of_several_tables_add_up() -> None:
    found = together([FULL, DataReport(read=5, dropped={"empty text": 1}, folded={"1": 2})])
    assert (found.read, found.dropped, found.folded) == (1505, {"empty text": 4}, {"1": 7})


# The file of eight classes


def test_the_file_of_eight_classes_is_accounted_for_row_by_row(tmp_path: Path) -> None:
    given = rows(600)
    found = prepared(tmp_path, given)
    report, counts = found.report, found.counts
    assert report.read == 600 == sum(counts.values()) + report.duplicates
    assert len({text for text, _, _ in given}) == sum(counts.values())
    assert set(found.labels) == set(CLASSES) and report.hashed == ("select",)
    assert report.unsplit == sum(not fold for *_, fold in given) > 0
    assert report.across > 0 and report.relabelled > 0
    tests = {text for text, _, fold in given if fold == "test"}
    assert set(found.rows("test")["text"]) == tests
    assert load(found.folder).report == report


def test_a_refusal_names_the_sweep_file(tmp_path: Path) -> None:
    found = prepared(tmp_path, texts(80))
    lm = {"kind": "causal_lm", "prompt": "text", "completion": "label", "chat": True}
    path = write_csv(tmp_path / "lm.csv", texts(80))
    found = prepare(TaskConfig(data=str(path), **lm), tmp_path / "home", "sweep.yaml")
    with pytest.raises(UserError, match=r"^sweep.yaml: task.chat: "):
        truncation.reported(study(found, tmp_path, **lm))


def test_targets_beside_the_first_of_their_source_are_counted(tmp_path: Path) -> None:
    given = [(f"source {i % 50}", f"target {i}") for i in range(120)]
    path = write_csv(tmp_path / "rows.csv", given, ("source", "target"))
    task = TaskConfig(kind="seq2seq", data=str(path))
    found = prepare(task, tmp_path / "home", "sweep.yaml")
    assert sum(found.counts.values()) == 50 and found.report.references == 70
    assert any("training learns the first alone" in line for line in lines(found.report))
