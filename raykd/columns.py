"""A table's columns as rows: texts, labels, splits. What is missing, empty or odd is told."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from raykd.config import Task
from raykd.errors import UserError

SPLIT_NAMES = {
    "train": "train", "select": "select", "validation": "select", "valid": "select",
    "val": "select", "dev": "select", "test": "test",
}  # fmt: skip


NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")


@dataclass(frozen=True)
class Row:
    texts: tuple[str, ...]
    label: str | int
    """A class; or what is to be written, or the number of the right choice."""
    split: str | None = None
    choices: tuple[str, ...] = ()

    @cached_property
    def id(self) -> str:
        return hashlib.sha256("\0".join(self.texts).encode()).hexdigest()[:16]


def wanted(task: Task) -> list[tuple[str, str]]:
    """The columns a task names, each with its key in the sweep file."""
    split = [("split", task.split)] if task.split else []
    if task.kind == "seq2seq":
        return [("source", task.source), ("target", task.target), *split]
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
                f"{', '.join(columns)}"
            )


def to_rows(table: Any, task: Task, file: str, where: str) -> list[Row]:
    check_columns(table.column_names, task, file)
    if len(table) == 0:
        raise UserError(f"{where}: there are no rows")
    writes = task.kind == "seq2seq"
    what, answer = ("source", "target") if writes else ("text", "label")
    found = [texts(table, column, file, what) for column in task.columns]
    labels = _targets(table, task, file) if writes else _labels(table, task, file)
    refuse_empty(what, (i for column in found for i, v in enumerate(column, 1) if not v), where)
    refuse_empty(answer, (i for i, v in enumerate(labels, 1) if v is None), where)
    splits = split_names(table, task, file)
    return [
        Row(tuple(pair), label, split)
        for *pair, label, split in zip(*found, labels, splits, strict=True)
    ]


def _targets(table: Any, task: Task, file: str) -> list[str | int | None]:
    """Texts as they stand; None for an empty one."""
    return [text or None for text in texts(table, task.target, file, "target")]


def texts(table: Any, column: str, file: str, key: str) -> list[str]:
    values = table[column][:]
    if odd := next((v for v in values if isinstance(v, list | dict | bytes)), None):
        raise UserError(
            f"{file}: task.{key}: the column {column!r} holds {str(odd)[:40]!r}; a text is a string"
        )
    return ["" if v is None or v != v else str(v).strip() for v in values]


def _labels(table: Any, task: Task, file: str) -> list[str | int | None]:
    """Strings or integers. Strings that are all numbers count as numbers, so that rows mean the
    same in every format."""
    names = label_names(table, task.label)
    values = table[task.label][:]
    if names:
        return [names[v] if v is not None and v >= 0 else None for v in values]
    labels = [_label(v, task, file) for v in values]
    if all(v is None or isinstance(v, str) and NUMBER.fullmatch(v) for v in labels):
        labels = [None if v is None else _label(float(v), task, file) for v in labels]
    return labels


def label_names(table: Any, column: str) -> list[str] | None:
    """Of a column of class numbers that has names for them, as hub sets do."""
    return getattr(table.features[column], "names", None)


def _label(value: Any, task: Task, file: str) -> str | int | None:
    if value is None or value != value:  # not a number: how tables of floats mark what is missing
        return None
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    raise UserError(
        f"{file}: task.label: the column {task.label!r} holds {value!r}; labels are strings or "
        "whole numbers"
    )


def refuse_empty(what: str, numbers: Iterable[int], where: str) -> None:
    found = sorted(set(numbers))
    if found:
        first = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
        raise UserError(
            f"{where}: {len(found)} rows with an empty {what} (row {first}); fill or drop them"
        )


def split_names(table: Any, task: Task, file: str) -> list[str | None]:
    if not task.split:
        return [None] * len(table)
    return [_split_name(v, task, file) for v in table[task.split][:]]


def _split_name(value: Any, task: Task, file: str) -> str:
    name = SPLIT_NAMES.get(str(value).strip().lower())
    if name is None:
        raise UserError(
            f"{file}: task.split: the column {task.split!r} holds {value!r}; write train, select "
            "or test"
        )
    return name
