"""Label noise: how many training labels are replaced, by what, and that nothing else changes."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.config.sweep import Labels, load
from raykd.config.task import TaskConfig
from raykd.data.data_report import lines
from raykd.data.labels import with_noise
from raykd.data.prepared import Prepared, prepare
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.trials import confirm_trials

from ..config.test_mistakes import complaints
from ..support.smallest import SMALLEST
from ..support.world import write_csv, write_sweep

shares = st.floats(0, 0.99)


def ids_of(count: int) -> list[str]:
    return [f"row {i}" for i in range(count)]


@given(st.integers(1, 300), st.integers(2, 9), shares, st.integers(0, 2**40))
def test_a_share_of_the_labels_is_replaced_by_others(
    rows: int, classes: int, share: float, seed: int
) -> None:
    labels = np.arange(rows) % classes
    noisy, count = with_noise(labels, ids_of(rows), classes, Labels(noise=share, seed=seed))
    assert count == round(share * rows) == int((noisy != labels).sum())
    assert noisy.min() >= 0 and noisy.max() < classes and noisy.dtype == labels.dtype
    again, _ = with_noise(labels, ids_of(rows), classes, Labels(noise=share, seed=seed))
    assert np.array_equal(noisy, again)


@given(shares, shares, st.integers(0, 99))
def test_more_noise_keeps_the_labels_that_less_has_replaced(a: float, b: float, seed: int) -> None:
    labels = np.arange(200) % 5
    less, more = (
        with_noise(labels, ids_of(200), 5, Labels(noise=share, seed=seed))[0]
        for share in sorted((a, b))
    )
    changed = less != labels
    assert np.array_equal(less[changed], more[changed])


@given(st.randoms(), st.integers(0, 99))
def test_the_order_of_the_rows_does_not_matter(rng: random.Random, seed: int) -> None:
    labels, order = np.arange(60) % 3, list(range(60))
    rng.shuffle(order)
    noise = Labels(noise=0.3, seed=seed)
    noisy, _ = with_noise(labels, ids_of(60), 3, noise)
    shuffled, _ = with_noise(labels[order], [f"row {i}" for i in order], 3, noise)
    assert np.array_equal(shuffled, noisy[order])


def test_every_other_class_is_drawn_alike() -> None:
    labels = np.full(4000, 2)
    noisy, count = with_noise(labels, ids_of(4000), 5, Labels(noise=0.75))
    drawn = Counter(noisy[noisy != 2].tolist())
    assert count == 3000 and drawn.keys() == {0, 1, 3, 4}
    assert all(660 < n < 840 for n in drawn.values())  # 750 expected, sd 24


# The rows of a file


def rows_of(prepared: Prepared, split: str) -> dict[str, int]:
    rows = prepared.rows(split)
    labels = prepared.test_labels() if split == "test" else rows["label"]
    return dict(zip(rows["text"], np.asarray(labels).tolist(), strict=True))


def test_only_training_rows_change_and_it_is_said(tmp_path: Path) -> None:
    rows = [(f"text {i}", "abc"[i % 3]) for i in range(300)]
    task = TaskConfig(data=str(write_csv(tmp_path / "rows.csv", rows)))

    def prepared(noise: Labels | None) -> Prepared:
        return prepare(task, tmp_path / "home", "sweep.yaml", noise)

    clean, noisy, other = prepared(None), prepared(Labels(noise=0.1)), (
        prepared(Labels(noise=0.1, seed=1))
    )  # fmt: skip
    assert prepared(Labels()) == clean == prepared(Labels(seed=5))
    assert len({p.folder for p in (clean, noisy, other)}) == 3
    assert len({p.fingerprint for p in (clean, noisy, other)}) == 3
    assert prepared(Labels(noise=0.1)) == noisy
    for split in ("select", "test"):
        assert rows_of(clean, split) == rows_of(noisy, split)
    before, after = rows_of(clean, "train"), rows_of(noisy, "train")
    assert before.keys() == after.keys() and rows_of(other, "train") != after
    count = sum(before[text] != after[text] for text in before)
    assert count == round(0.1 * len(before)) == noisy.report.noisy_labels
    assert noisy.report.classes["train"] == dict(
        zip(noisy.labels, np.bincount([*after.values()]).tolist(), strict=True)
    )
    says = f"labels of {count} of {len(before)} rows of train replaced at random"
    assert any(line.startswith(says) for line in lines(noisy.report))
    assert not any("replaced at random" in line for line in lines(clean.report))


def test_results_with_noise_are_of_other_teachers_and_trials(tmp_path: Path) -> None:
    def study(**changes: Any) -> Study:
        sweep = write_sweep(tmp_path, **changes)
        return resolve(load(sweep), tmp_path / "home", "sweep.yaml")

    studies = [study(), study(labels={"noise": 0.1}), study(labels={"noise": 0.1, "seed": 1})]
    assert len({s.teacher for s in studies}) == len({s.data for s in studies}) == 3
    ids = [{t.id for t in confirm_trials(s)} for s in studies]
    assert not ids[0] & ids[1] and not ids[1] & ids[2] and not ids[0] & ids[2]
    assert ids[0] == {t.id for t in confirm_trials(study(labels={"noise": 0, "seed": 3}))}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"labels": {"noise": 1.0}}, "labels.noise: 1.0 will not do; write a number less than 1"),
        ({"labels": {"noise": -0.1}}, "labels.noise: -0.1 will not do; write a number from 0 on"),
        ({"labels": {"noise": "much"}}, 'labels.noise: "much"'),
        ({"labels": {"nois": 0.1}}, "labels.nois: unknown key; did you mean `noise`?"),
        (
            {"labels": {"noise": 0.1},
             "task": {"kind": "seq2seq", "data": "a.csv", "metric": "chrf"}},
            "labels.noise: 0.1, and `task.kind: seq2seq` has no classes; leave it out",
        ),
    ],
)  # fmt: skip
def test_noise_that_cannot_be_is_a_line(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    (told,) = complaints(tmp_path, {**SMALLEST, **changes})
    assert told.startswith(line)
