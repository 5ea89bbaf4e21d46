"""A table's columns as rows: texts, labels, splits. What is missing, empty or odd is told."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

from raykd.config import Task
from raykd.data_report import DataReport, together
from raykd.errors import UserError

SPLIT_NAMES = {
    "train": "train", "select": "select", "validation": "select", "valid": "select",
    "val": "select", "dev": "select", "test": "test",
}  # fmt: skip


SOURCE = "unfolded from"
"""A column that unfolding adds (unfold.py)."""
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)
INTEGER = re.compile(r"0|-?[1-9]\d*", re.ASCII)
"""As every writer of integers writes one: of two different texts no two are the same number."""
OF_FLOATS = re.compile(r"(0|-?[1-9]\d*)\.0", re.ASCII)
"""An integer in a column of floats, which is what integers with gaps between them become."""
EXACT = {"float16": 2**11, "float32": 2**24}
"""Below these a float holds every integer; `FLOAT64` for all other types."""
FLOAT64 = 2**53


@dataclass(frozen=True)
class Row:
    texts: tuple[str, ...]
    label: str | int
    """A class; or what is to be written, or the number of the right choice."""
    split: str | None = None
    """Where the data puts the row: train, select, test, or what `task.test_splits` names."""
    choices: tuple[str, ...] = ()
    place: int = 0
    """Of its class, where the data set has an order of classes."""
    source: str = ""
    """What the row was unfolded from, where it was: such rows go into one split together."""

    @cached_property
    def id(self) -> str:
        return hashlib.sha256("\0".join(self.texts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Reading:
    """A table's rows, and what was left out or folded on the way."""

    rows: list[Row]
    report: DataReport


def joined(readings: Iterable[Reading]) -> Reading:
    """Several tables as one. Where the labels of one are numbers and those of another texts, all
    are texts."""
    found = list(readings)
    rows = [row for reading in found for row in reading.rows]
    if len({type(row.label) for row in rows}) > 1:
        rows = [replace(row, label=str(row.label)) for row in rows]
    return Reading(rows, together(reading.report for reading in found))


def wanted(task: Task) -> list[tuple[str, str]]:
    """The columns a task names, each with its key in the sweep file."""
    split = [("split", task.split)] if task.split else []
    if task.kind == "seq2seq":
        more = [("references", task.references)] if task.references else []
        return [("source", task.source), ("target", task.target), *more, *split]
    if task.prompt is not None and task.completion is not None:
        prompt = [("prompt", c) for c in task.prompt_columns]
        choices = [("choices", task.choices.split(".")[0])] if isinstance(task.choices, str) else []
        return [*prompt, ("completion", task.completion), *choices, *split]
    return [*(("text", c) for c in task.columns), ("label", task.label), *split]


def check_columns(columns: list[str], task: Task, file: str) -> None:
    for key, column in wanted(task):
        if column not in columns:
            raise UserError(
                f"{file}: task.{key}: {task.data} has no column {column!r}; it has "
                f"{', '.join(c or '(one without a name)' for c in columns if c != SOURCE)}"
            )


def to_rows(table: Any, task: Task, file: str, where: str) -> Reading:
    check_columns(table.column_names, task, file)
    if len(table) == 0:
        raise UserError(f"{where}: there are no rows")
    writes = task.kind == "seq2seq"
    what, answer = ("source", "target") if writes else ("text", "label")
    found = [texts(table, column, file, what, task.join) for column in task.columns]
    report = DataReport(read=len(table))
    if writes:
        answers = _targets(table, task, file)
    else:
        answers, report = _labels(table, task, file, report)
    blank = (i for column in found for i, v in enumerate(column, 1) if not v)
    left_out = empty(what, blank, where, task)
    unanswered = empty(answer, (i for i, own in enumerate(answers, 1) if not own), where, task)
    splits, rows_of = split_names(table, task, file), sources(table)
    each = zip(*found, answers, splits, rows_of, strict=True)
    skipped = left_out | unanswered
    rows = [
        Row(tuple(pair), label, split, place=place, source=source)
        for number, (*pair, own, split, source) in enumerate(each, 1)
        if number not in skipped
        for label, place in own
    ]
    return Reading(rows, counted(report, table, task, {what: left_out, answer: unanswered}))


def counted(
    report: DataReport, table: Any, task: Task, left_out: Mapping[str, set[int]]
) -> DataReport:
    """With the rows that are left out for an empty cell, each under the first of its reasons, and
    those that have no split."""
    seen, dropped = set[int](), dict[str, int]()
    for what, numbers in left_out.items():
        if fresh := numbers - seen:
            dropped[f"empty {what}"] = len(fresh)
        seen |= numbers
    unsplit = sum(_cell(v) == "" for v in table[task.split][:]) if task.split else 0
    return replace(report, dropped=dropped, unsplit=unsplit)


Answers = list[tuple[str | int, int]]
"""What is right for one row, each with the place of its class; none where the cell is empty."""


def _targets(table: Any, task: Task, file: str) -> list[Answers]:
    """Texts as they stand: the target, and what the column of references holds beside it."""
    found = [[text] for text in texts(table, task.target, file, "target")]
    if task.references is not None:
        for own, more in zip(found, table[task.references][:], strict=True):
            if not isinstance(more, list) or not all(isinstance(x, str) for x in more):
                raise UserError(
                    f"{file}: task.references: the column {task.references!r} holds "
                    f"{str(more)[:40]!r}; references are a list of texts"
                )
            own += [text.strip() for text in more]
    return [[(text, 0) for text in dict.fromkeys(own) if text] for own in found]


def texts(table: Any, column: str, file: str, key: str, join: tuple[str, ...] = ()) -> list[str]:
    """A column's texts without white space around them. A list is joined by `join`, a list within
    it by the next of these separators."""
    values = table[column][:]
    if join:
        values = [_joined(v, join) for v in values]
    if odd := next((v for v in values if isinstance(v, list | dict | bytes)), None):
        raise UserError(
            f"{file}: task.{key}: the column {column!r} holds {str(odd)[:40]!r}; a text is a string"
            + (", or lists as deep as `join` has separators" if isinstance(odd, list) else "")
        )
    return ["" if v is None or v != v else str(v).strip() for v in values]


def _joined(value: Any, separators: tuple[str, ...]) -> Any:
    """Lists as one text; as they are where they are deeper than there are separators."""
    if not isinstance(value, list) or not separators:
        return value
    parts = [_joined(part, separators[1:]) for part in value]
    if any(isinstance(part, list | dict) for part in parts):
        return value
    return separators[0].join("" if part is None else str(part).strip() for part in parts)


def _labels(
    table: Any, task: Task, file: str, report: DataReport
) -> tuple[list[Answers], DataReport]:
    """Texts or integers, with the report of what was folded. A column of texts that are all
    integers holds integers, and so does one of floats that are all whole, which is what integers
    with gaps become (`1.0`): rows mean the same in every format. Any other text is a class of its
    own."""
    names = label_names(table, task.label)
    values = table[task.label][:]
    if names:
        return [[(names[v], v)] if v is not None and v >= 0 else [] for v in values], report
    exact = EXACT.get(getattr(table.features[task.label], "dtype", ""), FLOAT64)
    labels = [_label(v, task, file, exact) for v in values]
    given = [v for v in labels if v is not None]
    _refuse_mixed(given, task, file)
    written = {v for v in given if isinstance(v, str)}
    folded = Counter(int(v) for v in values if isinstance(v, float) and v == v)
    lookalikes: tuple[tuple[str, ...], ...] = ()
    if written and all(INTEGER.fullmatch(v) for v in written):
        labels = [None if v is None else int(v) for v in labels]
    elif written and all(OF_FLOATS.fullmatch(v) for v in written):
        labels = [None if v is None else int(str(v).removesuffix(".0")) for v in labels]
        folded = Counter(int(v) for v in labels if v is not None)
    elif written:
        _refuse_fractions(written, task, file)
        lookalikes = _lookalikes(written)
    told = {str(v): count for v, count in sorted(folded.items())}
    report = replace(report, folded=told, lookalikes=lookalikes)
    return [[] if v is None else [(v, 0)] for v in labels], report


def _refuse_mixed(labels: list[str | int], task: Task, file: str) -> None:
    texts, numbers = ({v for v in labels if isinstance(v, kind)} for kind in (str, int))
    if texts and numbers:
        raise UserError(
            f"{file}: task.label: the column {task.label!r} holds texts and numbers "
            f"({min(texts)!r}, {min(numbers)}); write all labels as texts, or all as numbers"
        )


def _refuse_fractions(labels: set[str], task: Task, file: str) -> None:
    """Numbers with fractions are measurements, of which a classifier knows nothing."""
    if all(NUMBER.fullmatch(v) for v in labels):
        if fractions := sorted(v for v in labels if Fraction(v).denominator > 1):
            raise UserError(_no_label(fractions[0], task, file))


def _lookalikes(labels: set[str]) -> tuple[tuple[str, ...], ...]:
    """Labels that are equal as numbers."""
    alike: dict[Fraction, list[str]] = {}
    for label in sorted(labels, key=lambda v: (len(v), v)):
        if NUMBER.fullmatch(label):
            alike.setdefault(Fraction(label), []).append(label)
    return tuple(tuple(group) for group in alike.values() if len(group) > 1)


def label_names(table: Any, column: str) -> list[str] | None:
    """Of a column of class numbers that has names for them, as hub sets do."""
    return getattr(table.features[column], "names", None)


def _label(value: Any, task: Task, file: str, exact: int) -> str | int | None:
    """`exact`: below this, a float of the column stands for one integer and no other."""
    if value is None or value != value:  # not a number: how tables of floats mark what is missing
        return None
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        if abs(value) >= exact:
            raise UserError(
                f"{file}: task.label: the column {task.label!r} holds {value:.0f} as a float, "
                "which may stand for several integers; write labels as integers or texts"
            )
        return int(value)
    raise UserError(_no_label(value, task, file))


def _no_label(value: Any, task: Task, file: str) -> str:
    return (
        f"{file}: task.label: the column {task.label!r} holds {value!r}; labels are strings or "
        "whole numbers"
    )


def empty(what: str, numbers: Iterable[int], where: str, task: Task) -> set[int]:
    """The numbers of rows to leave out. Raises UserError where the file does not ask for that."""
    found = sorted(set(numbers))
    if found and not task.drop_empty:
        first = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
        raise UserError(
            f"{where}: {len(found)} rows with an empty {what} (row {first}); fill or drop them"
        )
    return set(found)


def sources(table: Any) -> list[str]:
    """What each row was unfolded from."""
    return list(table[SOURCE]) if SOURCE in table.column_names else [""] * len(table)


def split_names(table: Any, task: Task, file: str) -> list[str | None]:
    if not task.split:
        return [None] * len(table)
    return [_split_name(v, task, file) for v in table[task.split][:]]


def _cell(value: Any) -> str:
    """A cell of the split column; empty where there is nothing in it."""
    return "" if value is None or value != value else str(value).strip()


def _split_name(value: Any, task: Task, file: str) -> str:
    """An empty cell is one of train."""
    own = _cell(value) or "train"
    if task.test_splits is not None:
        if own in task.test_splits.values():
            return own
        if SPLIT_NAMES.get(own.lower()) == "test":
            raise UserError(
                f"{file}: task.test_splits: the column {task.split!r} holds {value!r} too, which "
                f"is none of {', '.join(task.test_splits.values())}; name it as well"
            )
    name = SPLIT_NAMES.get(own.lower())
    if name is None:
        raise UserError(
            f"{file}: task.split: the column {task.split!r} holds {value!r}; write train, select "
            "or test"
        )
    return name
