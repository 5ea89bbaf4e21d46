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
    split: str | None = None

    @cached_property
    def id(self) -> str:
        return hashlib.sha256("\0".join(self.texts).encode()).hexdigest()[:16]


def check_columns(columns: list[str], task: Task, file: str) -> None:
    for key, column in task.wanted:
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
    texts = [_texts(table, column, file, what) for column in task.columns]
    labels = _targets(table, task, file) if writes else _labels(table, task, file)
    _refuse_empty(what, (i for column in texts for i, v in enumerate(column, 1) if not v), where)
    _refuse_empty(answer, (i for i, v in enumerate(labels, 1) if v is None), where)
    splits: list[str | None] = [None] * len(labels)
    if task.split:
        splits = [_split_name(v, task, file) for v in table[task.split][:]]
    return [
        Row(tuple(pair), label, split)
        for *pair, label, split in zip(*texts, labels, splits, strict=True)
    ]


def _targets(table: Any, task: Task, file: str) -> list[str | int | None]:
    """Texts as they stand; None for an empty one."""
    return [text or None for text in _texts(table, task.target, file, "target")]


def _texts(table: Any, column: str, file: str, key: str) -> list[str]:
    values = table[column][:]
    if odd := next((v for v in values if isinstance(v, list | dict | bytes)), None):
        raise UserError(
            f"{file}: task.{key}: the column {column!r} holds {str(odd)[:40]!r}; a text is a string"
        )
    return ["" if v is None or v != v else str(v).strip() for v in values]


def _labels(table: Any, task: Task, file: str) -> list[str | int | None]:
    """Strings or integers. Strings that are all numbers count as numbers, so that rows mean the
    same in every format."""
    names = getattr(table.features[task.label], "names", None)
    values = table[task.label][:]
    if names:
        return [names[v] if v is not None and v >= 0 else None for v in values]
    labels = [_label(v, task, file) for v in values]
    if all(v is None or isinstance(v, str) and NUMBER.fullmatch(v) for v in labels):
        labels = [None if v is None else _label(float(v), task, file) for v in labels]
    return labels


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


def _refuse_empty(what: str, numbers: Iterable[int], where: str) -> None:
    found = sorted(set(numbers))
    if found:
        first = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
        raise UserError(
            f"{where}: {len(found)} rows with an empty {what} (row {first}); fill or drop them"
        )


def _split_name(value: Any, task: Task, file: str) -> str:
    name = SPLIT_NAMES.get(str(value).strip().lower())
    if name is None:
        raise UserError(
            f"{file}: task.split: the column {task.split!r} holds {value!r}; write train, select "
            "or test"
        )
    return name
