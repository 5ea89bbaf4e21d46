"""A table's columns as rows: texts, labels, splits. What is missing, empty or odd is told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from raykd.data.data_report import DataReport, together
from raykd.data.labels import Answers, read_labels
from raykd.errors import UserError

if TYPE_CHECKING:
    from raykd.config.task import Task

SPLIT_NAMES = {
    "train": "train", "select": "select", "validation": "select", "valid": "select",
    "val": "select", "dev": "select", "test": "test",
}  # fmt: skip

SOURCE = "unfolded from"
"""A column that unfolding adds (explode.py)."""


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
    written: Mapping[int, str] = field(default_factory=dict)
    """Labels that are read as integers, as the texts that they were (`1.0`)."""


def joined(readings: Iterable[Reading]) -> Reading:
    """Several tables as one. Where the labels of one are numbers and those of another texts, all
    are texts, as they were written."""
    found = list(readings)
    if len({type(row.label) for reading in found for row in reading.rows}) > 1:
        found = [_as_written(reading) for reading in found]
    rows = [row for reading in found for row in reading.rows]
    return Reading(rows, together(reading.report for reading in found))


def _as_written(reading: Reading) -> Reading:
    def text(label: str | int) -> str:
        return reading.written.get(label, str(label)) if isinstance(label, int) else label

    report = replace(reading.report, folded={}) if reading.written else reading.report
    return Reading([replace(row, label=text(row.label)) for row in reading.rows], report)


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
                f"{file}: task.{key}: {task.named} has no column {column!r}; it has "
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
        answers, report = read_labels(table, task, file, report)
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
    written = {} if writes else _written(table[task.label][:], answers)
    report = counted(report, table, task, {what: left_out, answer: unanswered})
    return Reading(rows, report, written)


def _written(values: Iterable[Any], answers: list[Answers]) -> dict[int, str]:
    pairs = ((own[0][0], v) for own, v in zip(answers, values, strict=True) if own)
    return {n: v.strip() for n, v in pairs if isinstance(n, int) and isinstance(v, str)}


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
