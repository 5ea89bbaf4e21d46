"""Labels: as many classes as there are texts, the same in every format, none by way of a float."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from raykd.config.task import TaskConfig
from raykd.data import data_report
from raykd.data.prepared import Prepared, prepare
from raykd.data.readers import read

from .test_readers import FORMATS, rows, told, write


def prepared(path: Path, labels: list[Any]) -> Prepared:
    """Rows enough of each label that it stands in every split."""
    given = [label for label in labels for _ in range(60)]
    texts = [f"text {i}" for i in range(len(given))]
    write(path, {"text": texts, "label": given})
    return prepare(TaskConfig(data=str(path)), path.parent / "home", "sweep.yaml")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "labels",
    [
        ["01234", "1234", "90210"],
        ["007", "010", "7", "10"],
        ["1", "+1", "01"],
        ["1", "1.0"],
        ["1e3", "1000"],
        ["9007199254740993", "9007199254740992"],
        ["10000000000000000000000000000000001", "10000000000000000000000000000000000"],
        ["1", "١"],
        ["0", "-0"],
        ["True", "true", "1"],
        ["NA", "None", "nan"],
        ["2020-01-01", "2020-1-1"],
    ],
)
def test_every_text_is_a_class_of_its_own(tmp_path: Path, suffix: str, labels: list[str]) -> None:
    found = prepared(tmp_path / f"a{suffix}", labels)
    assert sorted(found.labels) == sorted(labels)
    assert sum(found.report.classes["train"].values()) == found.counts["train"]


LABEL = st.one_of(
    st.integers().map(str),
    st.from_regex(r"-?[0-9]{1,4}(\.0)?", fullmatch=True),
    st.sampled_from(["a", "x y", "True", "null", "2020-01-01", "1e5", "é", '"q"', "0x1", "-0"]),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(LABEL, min_size=2, max_size=5, unique=True))
def test_the_same_labels_give_the_same_classes_in_every_format(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("formats")
    found = [prepared(folder / f"a{suffix}", labels) for suffix in FORMATS]
    assert len({p.fingerprint for p in found}) == 1
    assert {len(p.labels) for p in found} == {len(labels)}
    assert len({p.report.to_json()["lookalikes"] for p in found}) == 1


@pytest.mark.parametrize("suffix", FORMATS)
def test_whole_numbers_keep_their_order_whatever_they_are_written_as(
    tmp_path: Path, suffix: str
) -> None:
    """As integers, as texts, and as the floats that integers with gaps become."""
    whole = [10, -1, 2]
    written = (whole, [str(x) for x in whole], [f"{x}.0" for x in whole])
    found = [prepared(tmp_path / f"{i}{suffix}", own) for i, own in enumerate(written)]
    assert {p.labels for p in found} == {("-1", "2", "10")}
    assert len({p.fingerprint for p in found}) == 1


def test_a_column_of_floats_is_folded_and_it_is_said(tmp_path: Path) -> None:
    table = {"text": ["a", "b", "c"], "label": [1.0, None, 3.0]}
    for suffix in (".parquet", ".jsonl"):
        path = write(tmp_path / f"a{suffix}", table)
        task = TaskConfig(data=str(path), drop_empty=True)
        reading = read(task, tmp_path, "s").parse()
        assert [r.label for r in reading.rows] == [1, 3]
        assert reading.report.folded == {"1": 1, "3": 1}
        assert reading.report.dropped == {"empty label": 1}
    path = write(tmp_path / "a.csv", {"text": ["a", "b"], "label": ["1.0", "3.0"]})
    assert [r.label for r in rows(path, tmp_path)] == [1, 3]


def test_labels_that_look_alike_are_told(tmp_path: Path) -> None:
    found = prepared(tmp_path / "a.csv", ["7", "007", "8", "x"])
    assert found.report.lookalikes == (("7", "007"),)


@pytest.mark.parametrize("value", [2.0**53, 2.0**60])
def test_floats_that_may_be_several_integers_are_refused(tmp_path: Path, value: float) -> None:
    path = write(tmp_path / "a.parquet", {"text": ["a", "b"], "label": [value, 1.0]})
    assert "which may stand for several integers" in told(path, tmp_path / "home")


def test_large_integers_with_gaps_do_not_merge(tmp_path: Path) -> None:
    labels = [2**53, 2**53 + 1, None]
    path = tmp_path / "a.parquet"
    Dataset.from_dict({"text": ["a", "b", "c"], "label": labels}).to_parquet(str(path))
    assert [r.label for r in rows(path, tmp_path, drop_empty=True)] == labels[:2]


def test_texts_and_numbers_in_one_column_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": "b"}\n{"text": "c", "label": 1}\n')
    assert "holds texts and numbers ('b', 1)" in told(tmp_path / "a.jsonl", tmp_path / "home")


def test_truth_values_and_texts_in_one_column_are_refused(tmp_path: Path) -> None:
    """`true` and `"true"` would be two classes."""
    lines = [f'{{"text": "a {i}", "label": {("true", "false")[i % 2]}}}' for i in range(8)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert {r.label for r in rows(tmp_path / "a.jsonl", tmp_path / "home")} == {"True", "False"}
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, '{"text": "b", "label": "true"}']))
    assert "truth values and texts (True, 'true')" in told(tmp_path / "a.jsonl", tmp_path / "home")


@pytest.mark.parametrize("suffix", FORMATS)
def test_labels_that_differ_by_white_space_alone_are_one_class_and_told(
    tmp_path: Path, suffix: str
) -> None:
    found = prepared(tmp_path / f"a{suffix}", ["pos", "pos ", "neg", " odd "])
    assert found.labels == ("neg", "odd", "pos")
    assert found.report.trimmed == {"pos": 60}
    assert (
        "labels are read without the white space around them: 'pos' (60 rows)"
        in data_report.lines(found.report)
    )


@pytest.mark.parametrize("other", ["NA", "3", "3.0"])
def test_labels_of_several_files_are_read_alike(tmp_path: Path, other: str) -> None:
    """`1.0` is 1 where all labels of the data set are such numbers, in whatever file they stand."""
    both = ["1.0", "2.0"] * 60
    write(tmp_path / "train.csv", {"text": [f"a {i}" for i in range(180)],
                                   "label": [*both, *[other] * 60]})  # fmt: skip
    write(tmp_path / "test.csv", {"text": [f"b {i}" for i in range(120)], "label": both})
    found = prepare(TaskConfig(data=str(tmp_path)), tmp_path / "home", "sweep.yaml")
    whole = other == "3.0"
    assert found.labels == (("1", "2", "3") if whole else tuple(sorted(["1.0", "2.0", other])))
    assert found.counts["test"] == 120 and bool(found.report.folded) == whole
