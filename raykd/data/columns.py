"""Rows from the columns of a table: texts, labels and splits. Missing, empty and malformed cells
are reported."""

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
    from raykd.config.task import TaskConfig

SPLIT_NAMES = {
    "train": "train", "select": "select", "validation": "select", "valid": "select",
    "val": "select", "dev": "select", "test": "test",
}  # fmt: skip

CONVERSATIONS = (
    "raykd reads no conversations (lists of messages); write the texts that a model reads into one "
    "column, and the answer or label into another"
)
NO_ANSWER: Answers = [("", 0)]
"""The label of a text without one, and its place."""
SOURCE = "unfolded from"
"""Column that `explode.unfolded` adds."""


@dataclass(frozen=True)
class Row:
    texts: tuple[str, ...]
    label: str | int
    """The class, the text to write, or the number of the right choice."""
    split: str | None = None
    """Split that the data states: train, select, test, or a name in `task.test_splits`."""
    choices: tuple[str, ...] = ()
    place: int = 0
    """Position of the class in the order of classes of the data set, if it has one."""
    source: str = ""
    """Source that the row was unfolded from, if any. Rows with one source go into the same
    split."""

    @cached_property
    def id(self) -> str:
        return hashlib.sha256("\0".join(self.texts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Reading:
    """The rows of a table, with a report of the rows that were left out and the labels that were
    folded."""

    rows: list[Row]
    report: DataReport
    written: Mapping[int, str] = field(default_factory=dict)
    """Original text (`1.0`) of each label that is read as an integer."""


def joined(readings: Iterable[Reading]) -> Reading:
    """Joins the readings of several tables. If the labels of one table are numbers and those of
    another are texts, all labels become texts as they were written."""
    parts = list(readings)
    if len({type(row.label) for reading in parts for row in reading.rows}) > 1:
        parts = [_as_written(reading) for reading in parts]
    rows = [row for reading in parts for row in reading.rows]
    return Reading(rows, together(reading.report for reading in parts))


def _as_written(reading: Reading) -> Reading:
    def text(label: str | int) -> str:
        return reading.written.get(label, str(label)) if isinstance(label, int) else label

    report = replace(reading.report, folded={}) if reading.written else reading.report
    return Reading([replace(row, label=text(row.label)) for row in reading.rows], report)


def wanted(task: TaskConfig) -> list[tuple[str, str]]:
    """(key in the sweep file, column) pairs of the columns that a task names."""
    split = [("split", task.split)] if task.split else []
    if task.of_kind.rows == "plain":
        return [*(("text", c) for c in task.columns), *split]
    if task.of_kind.rows == "source":
        references = [("references", task.references)] if task.references else []
        return [("source", task.source), ("target", task.target), *references, *split]
    if task.prompt is not None and task.completion is not None:
        prompt = [("prompt", c) for c in task.prompt_columns]
        choices = [("choices", task.choices.split(".")[0])] if isinstance(task.choices, str) else []
        return [*prompt, ("completion", task.completion), *choices, *split]
    return [*(("text", c) for c in task.columns), ("label", task.label), *split]


def check_columns(columns: list[str], task: TaskConfig, file: str) -> None:
    for key, column in wanted(task):
        if column not in columns:
            raise UserError(
                f"{file}: task.{key}: {task.named} has no column {column!r}; it has "
                f"{', '.join(c or '(one without a name)' for c in columns if c != SOURCE)}"
                + (f"; {CONVERSATIONS}" if {"messages", "conversations"} & {*columns} else "")
            )


def to_rows(table: Any, task: TaskConfig, file: str, where: str) -> Reading:
    check_columns(table.column_names, task, file)
    if len(table) == 0:
        raise UserError(f"{where}: there are no rows")
    writes = task.of_kind.rows == "source"
    text_name, answer_name = ("source", "target") if writes else ("text", "label")
    text_columns = [texts(table, column, file, text_name, task.join) for column in task.columns]
    report = DataReport(read=len(table))
    if task.of_kind.rows == "plain":
        answers = [NO_ANSWER] * len(table)
    elif writes:
        answers = _targets(table, task, file)
    else:
        answers, report = read_labels(table, task, file, report)
    blank = (i for column in text_columns for i, v in enumerate(column, 1) if not v)
    left_out = empty(text_name, blank, where, task)
    unanswered = empty(
        answer_name, (i for i, row_answers in enumerate(answers, 1) if not row_answers), where, task
    )
    splits, row_sources = split_names(table, task, file), sources(table)
    records = zip(*text_columns, answers, splits, row_sources, strict=True)
    skipped = left_out | unanswered
    rows = [
        Row(tuple(pair), label, split, place=place, source=source)
        for number, (*pair, row_answers, split, source) in enumerate(records, 1)
        if number not in skipped
        for label, place in row_answers
    ]
    labelled = task.of_kind.rows == "text"
    written = _written(table[task.label][:], answers) if labelled else {}
    report = counted(report, table, task, {text_name: left_out, answer_name: unanswered})
    return Reading(rows, report, written)


def _written(values: Iterable[Any], answers: list[Answers]) -> dict[int, str]:
    pairs = (
        (row_answers[0][0], value)
        for row_answers, value in zip(answers, values, strict=True)
        if row_answers
    )
    return {
        label: value.strip()
        for label, value in pairs
        if isinstance(label, int) and isinstance(value, str)
    }


def counted(
    report: DataReport, table: Any, task: TaskConfig, left_out: Mapping[str, set[int]]
) -> DataReport:
    """Adds the rows left out for an empty cell, each counted under the first reason that applies,
    and the rows without a split."""
    previous, dropped = set[int](), dict[str, int]()
    for reason, numbers in left_out.items():
        if new_numbers := numbers - previous:
            dropped[f"empty {reason}"] = len(new_numbers)
        previous |= numbers
    unsplit = sum(_cell(v) == "" for v in table[task.split][:]) if task.split else 0
    return replace(report, dropped=dropped, unsplit=unsplit)


def _targets(table: Any, task: TaskConfig, file: str) -> list[Answers]:
    """The target of each row, followed by the texts of its reference column; without duplicates and
    empty texts."""
    targets = [[text] for text in texts(table, task.target, file, "target")]
    if task.references is not None:
        for row_targets, references in zip(targets, table[task.references][:], strict=True):
            if not isinstance(references, list) or not all(isinstance(x, str) for x in references):
                raise UserError(
                    f"{file}: task.references: the column {task.references!r} holds "
                    f"{str(references)[:40]!r}; references are a list of texts"
                )
            row_targets += [text.strip() for text in references]
    return [[(text, 0) for text in dict.fromkeys(row_targets) if text] for row_targets in targets]


def texts(table: Any, column: str, file: str, key: str, join: tuple[str, ...] = ()) -> list[str]:
    """The texts of a column, stripped of surrounding white space. Lists are joined with the
    separators in `join`, one separator for each level of nesting."""
    values = table[column][:]
    if join:
        values = [_joined(v, join) for v in values]
    if invalid := next((v for v in values if isinstance(v, list | dict | bytes)), None):
        if isinstance(invalid, list) and any(isinstance(turn, dict) for turn in invalid):
            raise UserError(
                f"{file}: task.{key}: the column {column!r} holds {str(invalid)[:40]!r}; "
                f"{CONVERSATIONS}"
            )
        raise UserError(
            f"{file}: task.{key}: the column {column!r} holds {str(invalid)[:40]!r}; a text is a "
            "string"
            + (", or lists as deep as `join` has separators" if isinstance(invalid, list) else "")
        )
    return ["" if v is None or v != v else str(v).strip() for v in values]


def _joined(value: Any, separators: tuple[str, ...]) -> Any:
    """Joins nested lists into one text. Lists that are deeper than the number of separators are
    returned unchanged."""
    if not isinstance(value, list) or not separators:
        return value
    parts = [_joined(part, separators[1:]) for part in value]
    if any(isinstance(part, list | dict) for part in parts):
        return value
    return separators[0].join("" if part is None else str(part).strip() for part in parts)


def empty(what: str, numbers: Iterable[int], where: str, task: TaskConfig) -> set[int]:
    """The numbers of the rows to leave out. Raises UserError if there are any and the task does not
    set `drop_empty`."""
    empty_rows = sorted(set(numbers))
    if empty_rows and not task.drop_empty:
        first = ", ".join(map(str, empty_rows[:5])) + (", ..." if len(empty_rows) > 5 else "")
        raise UserError(
            f"{where}: {len(empty_rows)} rows with an empty {what} (row {first}); fill or drop them"
        )
    return set(empty_rows)


def sources(table: Any) -> list[str]:
    """The source that each row was unfolded from; empty texts if the table was not unfolded."""
    return list(table[SOURCE]) if SOURCE in table.column_names else [""] * len(table)


def split_names(table: Any, task: TaskConfig, file: str) -> list[str | None]:
    if not task.split:
        return [None] * len(table)
    return [_split_name(v, task, file) for v in table[task.split][:]]


def _cell(value: Any) -> str:
    """The text of a cell of the split column; empty if the value is missing."""
    return "" if value is None or value != value else str(value).strip()


def _split_name(value: Any, task: TaskConfig, file: str) -> str:
    """The split that a cell names. An empty cell counts as train."""
    stated = _cell(value) or "train"
    if task.test_splits is not None:
        if stated in task.test_splits.values():
            return stated
        if SPLIT_NAMES.get(stated.lower()) == "test":
            raise UserError(
                f"{file}: task.test_splits: the column {task.split!r} holds {value!r} too, which "
                f"is none of {', '.join(task.test_splits.values())}; name it as well"
            )
    name = SPLIT_NAMES.get(stated.lower())
    if name is None:
        raise UserError(
            f"{file}: task.split: the column {task.split!r} holds {value!r}; write train, select "
            "or test"
        )
    return name
