"""A column of labels as classes: a text is a text, and only whole numbers are numbers.

No label goes by way of a float: two different texts, or two different integers, never become one
class.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from raykd.data.data_report import DataReport
from raykd.errors import UserError

if TYPE_CHECKING:
    from raykd.config.task import Task

NUMBER = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)
INTEGER = re.compile(r"0|-?[1-9]\d*", re.ASCII)
"""As every writer of integers writes one: of two different texts no two are the same number."""
OF_FLOATS = re.compile(r"(0|-?[1-9]\d*)\.0", re.ASCII)
"""An integer in a column of floats, which is what integers with gaps between them become."""
EXACT = {"float16": 2**11, "float32": 2**24}
"""Below these a float holds every integer; `FLOAT64` for all other types."""
FLOAT64 = 2**53

Answers = list[tuple[str | int, int]]
"""What is right for one row, each with the place of its class; none where the cell is empty."""


def read_labels(
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
    _refuse_mixed(values, given, task, file)
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
    report = replace(report, folded=told, lookalikes=lookalikes, trimmed=_trimmed(values))
    return [[] if v is None else [(v, 0)] for v in labels], report


def _refuse_mixed(values: Sequence[Any], labels: list[str | int], task: Task, file: str) -> None:
    truths = {v for v in values if isinstance(v, bool)}
    others = [v for v in values if isinstance(v, str) and v.strip()] if truths else []
    if others:
        raise UserError(
            f"{file}: task.label: the column {task.label!r} holds truth values and texts "
            f"({max(truths)}, {others[0]!r}); write all labels as texts, or all as truth values"
        )
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


def _trimmed(values: Sequence[Any]) -> dict[str, int]:
    """Rows with white space around their label, by labels that other rows have without it."""
    texts = Counter(v for v in values if isinstance(v, str))
    spaced = {v: count for v, count in texts.items() if v != v.strip() and v.strip() in texts}
    found = Counter[str]()
    for text, count in sorted(spaced.items()):
        found[text.strip()] += count
    return dict(found)


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
