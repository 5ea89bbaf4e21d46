"""A table's columns as prompts with what is to follow: a text, or one of some choices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raykd.config.task import FIELD
from raykd.data.columns import (
    Reading,
    Row,
    check_columns,
    counted,
    empty,
    sources,
    split_names,
    texts,
)
from raykd.data.data_report import DataReport
from raykd.data.labels import INTEGER, label_names
from raykd.errors import UserError

if TYPE_CHECKING:
    from raykd.config.task import Task

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def to_rows(table: Any, task: Task, file: str, where: str) -> Reading:
    """A row's text is its prompt, its label the completion, or the number of the right choice."""
    assert task.prompt is not None and task.completion is not None
    check_columns(table.column_names, task, file)
    if len(table) == 0:
        raise UserError(f"{where}: there are no rows")
    named = task.prompt_columns
    columns = {c: texts(table, c, file, "prompt", task.join) for c in named}
    blank = (i for c in columns.values() for i, v in enumerate(c, 1) if not v)
    left_out = empty("prompt", blank, where, task)
    count = len(table)
    prompts = columns[named[0]] if named == [task.prompt] else [
        FIELD.sub(lambda m, i=i: columns[m[1]][i], task.prompt) for i in range(count)  # type: ignore[misc]
    ]  # fmt: skip
    given = _completions(table, task.completion, file)
    unanswered = empty("completion", (i for i, v in enumerate(given, 1) if not v), where, task)
    each = zip(prompts, given, split_names(table, task, file), sources(table), strict=True)
    skipped = left_out | unanswered
    kept = [(i, *row) for i, row in enumerate(each) if i + 1 not in skipped]
    if task.choices is None:
        rows = [Row((p,), c, s, source=source) for _, p, c, s, source in kept]
    else:
        every = _choices(table, task.choices, file)
        choices = [every[i] for i, *_ in kept]
        right = _right([c for _, _, c, _, _ in kept], choices, task, file)
        rows = [
            Row((p,), number, s, own, source=source)
            for (_, p, _, s, source), number, own in zip(kept, right, choices, strict=True)
        ]
    reasons = {"prompt": left_out, "completion": unanswered}
    return Reading(rows, counted(DataReport(read=count), table, task, reasons))


def _completions(table: Any, column: str, file: str) -> list[str]:
    names = label_names(table, column)
    values = texts(table, column, file, "completion")
    # A class number below zero says that there is none.
    return [names[int(v)] if v.isdecimal() else "" for v in values] if names else values


def _choices(table: Any, choices: str | tuple[str, ...], file: str) -> list[tuple[str, ...]]:
    """Of every row: those of the file, or a list in a column (`choices.text`: a part of one)."""
    if not isinstance(choices, str):
        return [choices] * len(table)
    column, *parts = choices.split(".")
    found = []
    for number, value in enumerate(table[column][:], 1):
        for part in parts:
            value = value.get(part) if isinstance(value, dict) else None
        if not isinstance(value, list) or len(value) < 2 or not all(map(_is_text, value)):
            raise UserError(
                f"{file}: task.choices: row {number} of the column {choices!r} holds "
                f"{str(value)[:40]!r}; choices are a list of two texts or more (JSONL and Parquet "
                "files have lists), or stand in the sweep file"
            )
        found.append(tuple(v.strip() for v in value))
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _right(values: list[str], choices: list[tuple[str, ...]], task: Task, file: str) -> list[int]:
    """The number (from 0) of each row's right choice, which a column gives as its text, its number
    from 0, or its letter, in the same way in all rows: the number 2 is not the choice that reads
    `2`, where other rows have no such choice."""
    rows = list(zip(values, choices, strict=True))
    for way in (_text, _number, _letter):
        found = [way(value, own) for value, own in rows]
        if None not in found:
            return [number for number in found if number is not None]
    for value, own in rows:
        if all(way(value, own) is None for way in (_text, _number, _letter)):
            shown = ", ".join(c[:30] for c in own[:5])
            raise UserError(
                f"{file}: task.completion: the column {task.completion!r} holds {value[:40]!r}, "
                f"which is none of the choices ({shown}), nor the number (from 0) or letter of one"
            )
    kinds = {way.__name__[1:]: [v for v, own in rows if way(v, own) is not None]
             for way in (_text, _number, _letter)}  # fmt: skip
    shown = ", ".join(f"{name} {own[0][:30]!r}" for name, own in kinds.items() if own)
    raise UserError(
        f"{file}: task.completion: the column {task.completion!r} names some choices in one way "
        f"and some in another ({shown}); write all texts, all numbers (from 0) or all letters"
    )


def _text(value: str, choices: tuple[str, ...]) -> int | None:
    return choices.index(value) if value in choices else None


def _number(value: str, choices: tuple[str, ...]) -> int | None:
    fits = INTEGER.fullmatch(value) and 0 <= int(value) < len(choices)
    return int(value) if fits else None


def _letter(value: str, choices: tuple[str, ...]) -> int | None:
    letters = LETTERS[: len(choices)]
    return letters.index(value.upper()) if len(value) == 1 and value.upper() in letters else None
