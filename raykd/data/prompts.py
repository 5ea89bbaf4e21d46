"""Prompts and completions from the columns of a table; a completion is a text, or one of several
choices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from raykd.tasks.kinds.task_kind import FIELD

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def to_rows(table: Any, task: TaskConfig, file: str, where: str) -> Reading:
    """The text of a row is its prompt; the label is the completion, or the number of the right
    choice."""
    assert task.prompt is not None and task.completion is not None
    check_columns(table.column_names, task, file)
    if len(table) == 0:
        raise UserError(f"{where}: there are no rows")
    prompt_columns = task.prompt_columns
    columns = {c: texts(table, c, file, "prompt", task.join) for c in prompt_columns}
    blank = (i for c in columns.values() for i, v in enumerate(c, 1) if not v)
    left_out = empty("prompt", blank, where, task)
    count = len(table)
    prompts = columns[prompt_columns[0]] if prompt_columns == [task.prompt] else [
        FIELD.sub(lambda m, i=i: columns[m[1]][i], task.prompt) for i in range(count)  # type: ignore[misc]
    ]  # fmt: skip
    completions = _completions(table, task.completion, file)
    unanswered = empty(
        "completion", (i for i, v in enumerate(completions, 1) if not v), where, task
    )
    records = zip(prompts, completions, split_names(table, task, file), sources(table), strict=True)
    skipped = left_out | unanswered
    answered = [(i, *row) for i, row in enumerate(records) if i + 1 not in skipped]
    if task.choices is None:
        rows = [Row((p,), c, s, source=source) for _, p, c, s, source in answered]
    else:
        all_choices = _choices(table, task.choices, file)
        choices = [all_choices[i] for i, *_ in answered]
        correct = _right([c for _, _, c, _, _ in answered], choices, task, file)
        rows = [
            Row((p,), number, s, row_choices, source=source)
            for (_, p, _, s, source), number, row_choices in zip(
                answered, correct, choices, strict=True
            )
        ]
    reasons = {"prompt": left_out, "completion": unanswered}
    return Reading(rows, counted(DataReport(read=count), table, task, reasons))


def _completions(table: Any, column: str, file: str) -> list[str]:
    names = label_names(table, column)
    values = texts(table, column, file, "completion")
    # A negative class number means that there is no label.
    return [names[int(v)] if v.isdecimal() else "" for v in values] if names else values


def _choices(table: Any, choices: str | tuple[str, ...], file: str) -> list[tuple[str, ...]]:
    """The choices of every row: those of the sweep file, or a list in a column (`choices.text` for
    a field of it)."""
    if not isinstance(choices, str):
        return [choices] * len(table)
    column, *parts = choices.split(".")
    lists = []
    for number, value in enumerate(table[column][:], 1):
        for part in parts:
            value = value.get(part) if isinstance(value, dict) else None
        if not isinstance(value, list) or len(value) < 2 or not all(map(_is_text, value)):
            raise UserError(
                f"{file}: task.choices: row {number} of the column {choices!r} holds "
                f"{str(value)[:40]!r}; choices are a list of two texts or more (JSONL and Parquet "
                "files have lists), or stand in the sweep file"
            )
        lists.append(tuple(v.strip() for v in value))
    return lists


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _right(
    values: list[str], choices: list[tuple[str, ...]], task: TaskConfig, file: str
) -> list[int]:
    """Number (from 0) of the right choice of each row. The column gives it as the text of the
    choice, as its number from 0 or as its letter. All rows are read in the same way: the number 2
    is not the choice with the text `2` if other rows have no such choice."""
    rows = list(zip(values, choices, strict=True))
    for parse in (_text, _number, _letter):
        numbers = [parse(value, options) for value, options in rows]
        if None not in numbers:
            return [number for number in numbers if number is not None]
    for value, options in rows:
        if all(parse(value, options) is None for parse in (_text, _number, _letter)):
            shown = ", ".join(c[:30] for c in options[:5])
            raise UserError(
                f"{file}: task.completion: the column {task.completion!r} holds {value[:40]!r}, "
                f"which is none of the choices ({shown}), nor the number (from 0) or letter of one"
            )
    kinds = {parse.__name__[1:]: [v for v, options in rows if parse(v, options) is not None]
             for parse in (_text, _number, _letter)}  # fmt: skip
    shown = ", ".join(
        f"{name} {examples[0][:30]!r}" for name, examples in kinds.items() if examples
    )
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
