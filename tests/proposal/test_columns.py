"""Which columns are taken for texts, labels and splits, and what is asked where content does not
decide."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.errors import UserError
from raykd.proposal.columns import Chosen, choose, described

WORDS = "printer invoice payment login screen error please help refund late broken cannot".split()


def sentences(count: int, seed: int = 0, longest: int = 12) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(5, longest))) + f" no {i}"
            for i in range(count)]  # fmt: skip


def classes(count: int, names: list[Any]) -> list[Any]:
    return [names[i % len(names)] for i in range(count)]


def columns_of(chosen: Chosen) -> tuple[list[str], str, str | None]:
    split = chosen.split.name if chosen.split else None
    return [c.name for c in chosen.text], chosen.label.name, split


ROWS = 200
TEXTS, SHORT = sentences(ROWS), [t.split()[0] + " " + t.split()[1] for t in sentences(ROWS, 1)]
OTHERS: dict[str, list[Any]] = {
    "ids": list(range(1000, 1000 + ROWS)),
    "ids as texts": [str(i) for i in range(ROWS)],
    "hashes": [f"{random.Random(i).getrandbits(64):x}-ab" for i in range(ROWS)],
    "prices": [f"{i * 0.37:.2f}" for i in range(ROWS)],
    "floats": [i * 0.37 for i in range(ROWS)],
    "days": [f"2024-03-{1 + i % 28:02d}" for i in range(ROWS)],
    "times": [f"2024-03-01 10:{i % 60:02d}:00" for i in range(ROWS)],
    "one value": ["en"] * ROWS,
    "nothing": [""] * ROWS,
    "None": [None] * ROWS,
    "addresses": [f"someone{i}@example.org" for i in range(ROWS)],
    "names": [f"{w} {i}" for i, w in enumerate(SHORT)],
    "lists": [["a", "b"]] * ROWS,
    "ages": [str(18 + i % 60) for i in range(ROWS)],
}
LABELS: dict[str, list[Any]] = {
    "two": ["ham", "spam"],
    "three": ["billing", "technical", "account"],
    "integers": ["0", "1", "2"],
    "integers of JSON": [0, 1],
    "floats of pandas": ["0.0", "1.0"],
    "truth values": [True, False],
    "signs": ["+", "-"],
    "sentences": ["I want my money back please", "I cannot open my account any more at all"],
}


@given(
    others=st.lists(st.sampled_from([*OTHERS]), max_size=4, unique=True),
    label=st.sampled_from([*LABELS]),
    split=st.booleans(),
    seed=st.integers(0, 99),
)
def test_texts_and_labels_are_found_among_other_columns(
    others: list[str], label: str, split: bool, seed: int
) -> None:
    table: dict[str, list[Any]] = {name: OTHERS[name] for name in others}
    table |= {"body": TEXTS, "queue": classes(ROWS, LABELS[label])}
    if split:
        table["part"] = classes(ROWS, ["train", "train", "Test"])
    order = random.Random(seed).sample([*table], len(table))
    chosen = choose({name: table[name] for name in order}, (), None, "tickets.csv")
    assert columns_of(chosen) == (["body"], "queue", "part" if split else None)
    assert chosen.guessed == {"text", "label"}


@pytest.mark.parametrize(
    "pair",
    [("premise", "hypothesis"), ("sentence1", "sentence2"), ("text_a", "text_b"),
     ("Question 1", "Question 2"), ("question", "answer")],
)  # fmt: skip
@pytest.mark.parametrize("turned", [False, True])
def test_pairs_are_known_by_name_in_their_order(pair: tuple[str, str], turned: bool) -> None:
    columns = {pair[0]: TEXTS, pair[1]: sentences(ROWS, 1)}
    table = dict(reversed(columns.items())) if turned else columns
    chosen = choose({**table, "y": classes(ROWS, ["0", "1"])}, (), None, "pairs.tsv")
    assert columns_of(chosen) == ([*pair], "y", None)


def test_short_texts_are_taken_where_there_are_no_longer_ones() -> None:
    table = {"title": [f"{w} x{i}" for i, w in enumerate(SHORT)], "class": classes(ROWS, [1, 2])}
    assert columns_of(choose(table, (), None, "t.csv")) == (["title"], "class", None)


def test_scripts_without_spaces_are_texts() -> None:
    texts = [
        "".join(random.Random(i).choices("打印机坏了请帮我退款谢谢登录", k=14)) for i in range(99)
    ]
    table = {"评论": texts, "类别": classes(99, ["好", "坏"])}
    assert columns_of(choose(table, (), None, "t.csv")) == (["评论"], "类别", None)


def test_a_column_named_label_is_preferred() -> None:
    table = {"lang": classes(ROWS, ["en", "de"]), "Label": classes(ROWS, ["a", "b", "c"]),
             "text": TEXTS}  # fmt: skip
    assert columns_of(choose(table, (), None, "t.csv")) == (["text"], "Label", None)


ASKED: dict[str, tuple[dict[str, list[Any]], tuple[str, ...], str | None, tuple[str, ...]]] = {
    "two texts": (
        {"subject": sentences(ROWS, 1, 6), "body": TEXTS, "y": classes(ROWS, [0, 1])}, (), None,
        ("subject, body", "--text body", "--text subject --text body"),
    ),
    "two labels": (
        {"text": TEXTS, "queue": classes(ROWS, ["a", "b"]), "lang": classes(ROWS, ["en", "de"])},
        (), None, ("queue, lang", "--label queue"),
    ),
    "no text": ({"id": OTHERS["ids"], "y": classes(ROWS, [0, 1])}, (), None, ("--text", "id, y")),
    "no label": (
        {"text": TEXTS, "price": OTHERS["prices"]}, (), None,
        ("--label COLUMN", "price has 200 values in 200 rows"),
    ),
    "one label": (
        {"text": TEXTS, "y": ["a"] * ROWS}, (), None,
        ("--label COLUMN", "y has 1 value in 200 rows"),
    ),
    "no header": (
        {"my printer does not work today": TEXTS, "b": classes(ROWS, ["a", "b"])}, (), None,
        ("the first line is a row", "'b' is a label too", "a line of names"),
    ),
    "no header, numbers": (
        {"my printer does not work today": TEXTS, "1": classes(ROWS, ["0", "1"])}, (), None,
        ("the first line is a row",),
    ),
    "an unknown text": ({"text": TEXTS}, ("body",), None, ("--text body", "there are text")),
    "an unknown label": ({"text": TEXTS}, (), "y", ("--label y", "there are text")),
    "three texts": (
        {"a": TEXTS, "b": TEXTS, "c": TEXTS}, ("a", "b", "c"), None, ("--text", "two for pairs"),
    ),
    "a text as its label": ({"a": TEXTS}, ("a",), "a", ("--label another",)),
}  # fmt: skip


@pytest.mark.parametrize("case", ASKED)
def test_what_content_does_not_decide_is_asked_in_one_line(case: str) -> None:
    table, text, label, parts = ASKED[case]
    with pytest.raises(UserError) as refused:
        choose(table, text, label, "tickets.csv")
    (line,) = refused.value.lines
    assert line.startswith("tickets.csv: ") and all(part in line for part in parts), line


def test_what_is_stated_is_taken_as_it_is() -> None:
    table = {"a": TEXTS, "b": OTHERS["ids"], "c": classes(ROWS, [0, 1])}
    chosen = choose(table, ("b",), "a", "t.csv")
    assert columns_of(chosen) == (["b"], "a", None) and not chosen.guessed


def test_columns_that_pandas_numbered_are_a_header() -> None:
    table = {"0": TEXTS, "1": classes(ROWS, ["0", "1"])}
    assert columns_of(choose(table, (), None, "t.csv")) == (["0"], "1", None)


def test_empty_cells_do_not_count() -> None:
    column = described("a", ["x", "", None, float("nan"), " ", "x"])
    assert (column.rows, column.filled, column.distinct) == (6, 2, 1)
