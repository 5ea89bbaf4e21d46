"""Classes with few rows: `rows` keeps every class, `min_class_rows` drops small ones (data 7), and
a select split of one class is refused by the plan (data 12)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from raykd.config.sweep import load
from raykd.config.task import TaskConfig
from raykd.data.data_report import lines
from raykd.data.prepared import Prepared, prepare
from raykd.errors import UserError
from raykd.planning import older_rules
from raykd.planning.resolve import resolve
from raykd.planning.trials import confirm_trials
from raykd.sweep.older_trials import Older, older

from ..support.lm_world import write_lm_sweep
from ..support.world import write_csv, write_sweep
from ..sweep.test_older_rules import finished

Rows = list[tuple[str, str, str]]


def rows(**counts: dict[str, int]) -> Rows:
    """So many rows of each class, by split."""
    return [
        (f"{split} {label} {i}", label, split)
        for split, classes in counts.items()
        for label, count in classes.items()
        for i in range(count)
    ]


# 40 train rows, two of them of the class `rare`, and one in test.
RARE = rows(
    train={"usual": 38, "rare": 2}, select={"usual": 6, "rare": 1}, test={"usual": 9, "rare": 1}
)
MANY = rows(
    train={f"c{i:02}": 1 + i * i // 20 for i in range(52)},
    select={"c51": 20, "c50": 20},
    test={"c51": 30, "c50": 20, "c00": 1},
)


def prepared(folder: Path, given: Rows, **task: Any) -> Prepared:
    path = write_csv(folder / "rows.csv", given, ("text", "label", "fold"))
    return prepare(TaskConfig(data=str(path), split="fold", **task), folder / "home", "sweep.yaml")


def told(folder: Path, given: Rows, **task: Any) -> str:
    with pytest.raises(UserError) as error:
        prepared(folder, given, **task)
    (line,) = error.value.lines
    return line


def test_five_rows_keep_both_classes(tmp_path: Path) -> None:
    """Data 7: it was refused as if the file had no row of the class."""
    found = prepared(tmp_path, RARE, rows=5)
    assert found.report.classes["train"] == {"rare": 1, "usual": 4}
    assert found.counts == {"train": 5, "select": 7, "test": 10}


@pytest.mark.parametrize("count", [52, 100, 333, 1000])
def test_every_class_keeps_its_share(tmp_path: Path, count: int) -> None:
    whole = Counter(label for _, label, split in MANY if split == "train")
    kept = prepared(tmp_path, MANY, rows=count).report.classes["train"]
    assert sum(kept.values()) == min(count, whole.total()) and min(kept.values()) >= 1
    for label, number in kept.items():
        share = whole[label] * count / whole.total()
        assert number <= whole[label] and abs(number - share) < 4


def test_fewer_rows_are_among_the_more_and_in_their_order(tmp_path: Path) -> None:
    ids = [prepared(tmp_path, MANY, rows=n).rows("train")["id"][:] for n in (52, 60, 400, 10**6)]
    for few, more in zip(ids, ids[1:], strict=False):
        assert set(few) < set(more) and few == sorted(few)


def test_rows_by_hash_are_those_of_before(tmp_path: Path) -> None:
    whole = prepared(tmp_path, RARE).rows("train")["id"][:]
    plenty = [row for row in RARE if row[1] == "usual"]
    plenty += [(text, "other", split) for text, _, split in rows(train={"x": 30}, select={"x": 9})]
    for count in (10, 25):
        found = prepared(tmp_path, plenty, rows=count, rows_by="hash")
        everything = prepared(tmp_path, plenty).rows("train")["id"][:]
        assert found.rows("train")["id"][:] == everything[:count] != whole[:count]


@pytest.mark.parametrize(
    ("task", "wanted"),
    [
        ({"rows": 1}, ("rare", "1 of 40", "(2 classes)", "fewer classes")),
        ({"rows": 5, "rows_by": "hash"}, ("rare", "5 of 40", "`rows_by: class`")),
    ],
)
def test_a_class_that_goes_is_told_with_the_key(
    tmp_path: Path, task: dict[str, Any], wanted: tuple[str, ...]
) -> None:
    """Data 7: the message names `task.rows`."""
    given = [row for row in RARE if row != ("train rare 0", "rare", "train")]
    given += [("train usual 38", "usual", "train")]
    line = told(tmp_path, given, **task)
    for part in ("sweep.yaml: task.rows: ", "min_class_rows", *wanted):
        assert part in line


def test_small_classes_are_left_out_and_counted(tmp_path: Path) -> None:
    whole = Counter(label for _, label, split in MANY if split == "train")
    found = prepared(tmp_path, MANY, min_class_rows=10)
    small = {label for label, count in whole.items() if count < 10}
    assert set(found.labels) == set(whole) - small
    left_out = sum(label in small for _, label, _ in MANY)
    ((reason, count),) = found.report.dropped.items()
    assert count == left_out == found.report.read - sum(found.counts.values())
    assert f"{len(small)} classes have fewer than 10 training rows (c00" in reason
    assert any(line.startswith(f"{left_out} rows left out") for line in lines(found.report))


def test_a_class_without_training_rows_is_left_out_by_the_key_that_is_named(tmp_path: Path) -> None:
    given = [*RARE, ("only here", "unseen", "test")]
    assert "`min_class_rows: 1`" in told(tmp_path, given)
    found = prepared(tmp_path, given, min_class_rows=1)
    assert found.labels == ("rare", "usual") and found.counts["test"] == 10
    assert found.fingerprint == prepared(tmp_path, RARE).fingerprint


def test_too_high_a_bound_is_told(tmp_path: Path) -> None:
    assert "usual" in told(tmp_path, RARE, min_class_rows=3)
    assert "task.min_class_rows" in told(tmp_path, RARE, min_class_rows=100)


@pytest.mark.parametrize("key", [{"min_class_rows": 2}, {"rows_by": "hash"}])
def test_tasks_without_classes_know_no_such_key(key: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(key))}` goes with"):
        TaskConfig(kind="seq2seq", data="rows.csv", **key)


def test_trials_of_the_old_rows_are_counted_with_the_key(tmp_path: Path) -> None:
    task = {"data": str(tmp_path / "reviews.csv"), "rows": 33}

    def study(**keys: str) -> Any:
        file = write_sweep(tmp_path, task={**task, **keys})
        return resolve(load(file), tmp_path / "home", str(file))

    now, then = study(), confirm_trials(study(rows_by="hash"))
    assert not {t.id for t in confirm_trials(now)} & {t.id for t in then}
    assert older(now, finished(then, 3)) == (Older(len(then), ("task.rows_by: hash",)),)
    assert older_rules.before(study(rows_by="hash").config, 3) is None
    task["rows"] = 10**6  # the same rows by either rule
    assert older(study(), finished(confirm_trials(study()), 3)) == ()


def test_choices_are_counted_and_a_select_split_of_one_is_refused(tmp_path: Path) -> None:
    """Data 12, its sibling: the choices of a language model."""
    task: dict[str, Any] = {
        "kind": "causal_lm", "prompt": "text", "completion": "label", "choices": ["usual", "rare"],
    }  # fmt: skip
    found = prepared(tmp_path, RARE, **task)
    assert found.report.classes["train"] == {"usual": 38, "rare": 2}
    one = [row for row in RARE if row[2] != "select" or row[1] == "usual"]
    path = write_csv(tmp_path / "one.csv", one, ("text", "label", "fold"))
    file = write_lm_sweep(tmp_path, task={**task, "data": str(path), "split": "fold"})
    with pytest.raises(UserError, match="every select row has the label 'usual'"):
        resolve(load(file), tmp_path / "home", str(file))


def test_a_select_split_of_one_class_is_refused_by_the_plan(tmp_path: Path) -> None:
    """Data 12: it was refused after the teacher was trained, as "train it longer"."""
    one = [row for row in RARE if row[2] != "select" or row[1] == "usual"]
    path = write_csv(tmp_path / "rows.csv", one, ("text", "label", "fold"))
    task = {"data": str(path), "split": "fold"}
    file = write_sweep(tmp_path, task=task)
    with pytest.raises(UserError) as error:
        resolve(load(file), tmp_path / "home", str(file))
    (line,) = error.value.lines
    for part in ("task.data", "every select row has the label 'usual'", "select_share"):
        assert part in line
    teacher = {"model": str(tmp_path / "model"), "epochs": 1, "allow_weak": True}
    resolve(load(write_sweep(tmp_path, task=task, teacher=teacher)), tmp_path / "home", str(file))
