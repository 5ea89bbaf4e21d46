"""Rows of hub data sets: which of their splits is read as which, with a stand-in for the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest
from huggingface_hub import HfApi

from raykd.config.task import TaskConfig
from raykd.data.prepared import prepare
from raykd.data.readers import read
from raykd.errors import UserError


def hub(monkeypatch: pytest.MonkeyPatch, **splits: datasets.Dataset) -> list[Any]:
    """The hub, as far as `load_dataset` shows it, all of it there; returns what was asked of it."""
    asked: list[Any] = []

    def load(*args: Any, **options: Any) -> datasets.DatasetDict:
        asked.append((*args, options["revision"]))
        return datasets.DatasetDict(splits)

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(HfApi, "dataset_info", lambda *args, **options: None)
    return asked


def table(word: str, count: int, label: int | None = None, **more: Any) -> datasets.Dataset:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["worse", "better"])}
        | {k: datasets.Value("string") for k in more}
    )
    labels = [i % 2 if label is None else label for i in range(count)]
    columns = {"text": [f"{word} {i}" for i in range(count)], "label": labels, **more}
    return datasets.Dataset.from_dict(columns, features=features)


def words(prepared: Any, split: str) -> set[str]:
    return {text.split()[0] for text in prepared.rows(split)["text"]}


def test_a_hub_set_with_an_unlabelled_test_is_tested_on_its_validation_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hub(
        monkeypatch,
        train=table("train", 100),
        validation_matched=table("val", 20),
        validation_mismatched=table("other", 20),
        test_matched=table("sealed", 20, label=-1),
    )
    task = TaskConfig(data="owner/set", subset="mnli", revision="abc")
    found = prepare(task, tmp_path, "sweep.yaml")
    assert asked == [("owner/set", "mnli", "abc")]
    assert found.labels == ("worse", "better")  # in the set's own order
    assert found.counts["test"] == 20 and words(found, "test") == {"val"}
    assert words(found, "train") == words(found, "select") == {"train"}
    assert found.counts["train"] + found.counts["select"] == 100
    assert prepare(task, tmp_path, "sweep.yaml") == found and len(asked) == 1


def test_a_hub_set_with_three_splits_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub(
        monkeypatch,
        train=table("train", 30),
        validation=table("val", 20),
        test=table("test", 10),
        unsupervised=table("none", 9),
    )
    found = prepare(TaskConfig(data="owner/set"), tmp_path, "sweep.yaml")
    assert found.counts == {"train": 30, "select": 20, "test": 10}
    assert words(found, "select") == {"val"}


def test_a_hub_set_of_train_rows_alone_is_split_by_hash_or_by_its_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folds = ["train", "dev", "test"] * 20
    hub(monkeypatch, train=table("train", 60, fold=folds))
    found = prepare(TaskConfig(data="owner/set"), tmp_path, "sweep.yaml")
    assert min(found.counts.values()) > 0 and sum(found.counts.values()) == 60
    found = prepare(TaskConfig(data="owner/set", split="fold"), tmp_path, "sweep.yaml")
    assert found.counts == {"train": 20, "select": 20, "test": 20}


def test_an_empty_cell_of_a_hub_set_is_named_with_its_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub(monkeypatch, train=table("train", 30), test=table("", 1))
    with pytest.raises(UserError, match="owner/set"):
        prepare(TaskConfig(data="owner/set", text="body"), tmp_path, "sweep.yaml")
    blank = table("x", 2).map(lambda row: {"text": " "})
    hub(monkeypatch, train=table("train", 30), test=blank)
    with pytest.raises(UserError, match=r"owner/set \(test\): 2 rows with an empty text"):
        prepare(TaskConfig(data="owner/set"), tmp_path, "sweep.yaml")


def test_a_path_is_never_looked_for_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hub(monkeypatch)
    for name in ("./reviews", "/no/reviews", "~/no-reviews", "reviews.csv"):
        with pytest.raises(UserError, match="no such file"):
            read(TaskConfig(data=name), tmp_path, "sweep.yaml").rows()
    assert not asked
