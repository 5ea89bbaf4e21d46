"""Reads a column of labels as classes: texts, or whole numbers.

Labels are never converted by way of floats, so two different texts or integers never become one
class.
"""

from __future__ import annotations

import hashlib
import re
import struct
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from raykd.data.data_report import DataReport
from raykd.errors import UserError

if TYPE_CHECKING:
    from raykd.config.sweep import Labels
    from raykd.config.task import TaskConfig

NUMBER = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)
INTEGER = re.compile(r"0|-?[1-9]\d*", re.ASCII)
"""The canonical notation of integers: two different texts are never the same number."""
OF_FLOATS = re.compile(r"(0|-?[1-9]\d*)\.0", re.ASCII)
"""An integer in a column of floats, as integers with missing values are often stored."""
EXACT = {"float16": 2**11, "float32": 2**24}
"""Bounds below which a float holds every integer; `FLOAT64` for all other types."""
FLOAT64 = 2**53

Answers = list[tuple[str | int, int]]
"""Right answers of one row, each with the position of its class; empty if the cell is empty."""


def read_labels(
    table: Any, task: TaskConfig, file: str, report: DataReport
) -> tuple[list[Answers], DataReport]:
    """Labels of all rows as texts or integers, and the report with the labels that were folded. A
    column of texts that are all integers holds integers, and so does a column of floats that are
    all whole (`1.0`), as integers with missing values are stored: rows mean the same in every
    format. Any other text is a class."""
    names = label_names(table, task.label)
    values = table[task.label][:]
    if names:
        return [[(names[v], v)] if v is not None and v >= 0 else [] for v in values], report
    exact = EXACT.get(getattr(table.features[task.label], "dtype", ""), FLOAT64)
    labels = [_label(v, task, file, exact) for v in values]
    present = [v for v in labels if v is not None]
    _refuse_mixed(values, present, task, file)
    written = {v for v in present if isinstance(v, str)}
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
    folded_rows = {str(v): count for v, count in sorted(folded.items())}
    report = replace(report, folded=folded_rows, lookalikes=lookalikes, trimmed=_trimmed(values))
    return [[] if v is None else [(v, 0)] for v in labels], report


def _refuse_mixed(
    values: Sequence[Any], labels: list[str | int], task: TaskConfig, file: str
) -> None:
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


def _refuse_fractions(labels: set[str], task: TaskConfig, file: str) -> None:
    """Raises UserError for fractions: they are measurements, which a classifier cannot learn."""
    if all(NUMBER.fullmatch(v) for v in labels):
        if fractions := sorted(v for v in labels if Fraction(v).denominator > 1):
            raise UserError(_no_label(fractions[0], task, file))


def _trimmed(values: Sequence[Any]) -> dict[str, int]:
    """Number of rows with white space around a label that other rows have without it, by label."""
    texts = Counter(v for v in values if isinstance(v, str))
    spaced = {v: count for v, count in texts.items() if v != v.strip() and v.strip() in texts}
    counts = Counter[str]()
    for text, count in sorted(spaced.items()):
        counts[text.strip()] += count
    return dict(counts)


def _lookalikes(labels: set[str]) -> tuple[tuple[str, ...], ...]:
    """Groups of labels that are equal as numbers."""
    by_value: dict[Fraction, list[str]] = {}
    for label in sorted(labels, key=lambda v: (len(v), v)):
        if NUMBER.fullmatch(label):
            by_value.setdefault(Fraction(label), []).append(label)
    return tuple(tuple(group) for group in by_value.values() if len(group) > 1)


def refuse_twins(labels: Iterable[str], file: str) -> None:
    """Raises UserError for labels that differ only in what is not seen: zero-width characters,
    kinds of spaces, or composed and decomposed letters."""
    by_look: dict[str, str] = {}
    for label in sorted(labels):
        visible = (" " if unicodedata.category(c) == "Zs" else c for c in label
                   if unicodedata.category(c) != "Cf")  # fmt: skip
        look = unicodedata.normalize("NFC", "".join(visible)).strip()
        other = by_look.setdefault(look, label)
        if other != label:
            raise UserError(
                f"{file}: task.label: the labels {ascii(other)} and {ascii(label)} differ only "
                "in characters that are not visible, and would be two classes; write one of them"
            )


def with_noise(
    classes: np.ndarray, ids: Sequence[str], count: int, noise: Labels
) -> tuple[np.ndarray, int]:
    """Numbers of classes, of which a share is replaced by another class drawn uniformly, and the
    number of rows that are replaced: symmetric label noise, as in the released code of CR-ILD
    (arXiv 2302.01530).

    `ids`: of the rows. `count`: how many classes there are. What is drawn depends on the seed and
    on the id of a row, not on the order of the rows. The rows of a smaller share are among those of
    a larger one, with the same new labels.
    """
    replaced = round(noise.noise * len(classes))
    if count < 2 or not replaced:
        return classes, 0
    drawn = np.array(
        [
            struct.unpack(
                "<QQ", hashlib.sha256(f"raykd noise {noise.seed} {i}".encode()).digest()[:16]
            )
            for i in ids
        ],
        dtype=np.uint64,
    )
    rows = np.argsort(drawn[:, 0], kind="stable")[:replaced]
    noisy = classes.copy()
    steps = 1 + (drawn[rows, 1] % np.uint64(count - 1)).astype(np.int64)
    noisy[rows] = (classes[rows] + steps) % count
    return noisy, replaced


def class_weights(task: TaskConfig, rows: Mapping[str, int]) -> dict[str, float] | None:
    """The weight of each class in the cross entropy, scaled to a mean of 1 over the training rows,
    so that the weights of the other losses mean the same. `rows`: training rows of each class."""
    stated = task.class_weights
    if stated is None:
        return None
    if stated == "balanced":
        raw = {label: 1 / max(1, count) for label, count in rows.items()}
    else:
        raw = {label: stated.get(label, 1.0) for label in rows}
    mean = sum(raw[label] * count for label, count in rows.items()) / max(1, sum(rows.values()))
    return {label: round(weight / mean, 6) for label, weight in raw.items()}


def label_names(table: Any, column: str) -> list[str] | None:
    """Names of the classes of a column of class numbers, as hub data sets have; None without
    names."""
    return getattr(table.features[column], "names", None)


def _label(value: Any, task: TaskConfig, file: str, exact: int) -> str | int | None:
    """One label. Floats below `exact` represent exactly one integer."""
    if value is None or value != value:  # NaN marks missing values in tables of floats
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


def _no_label(value: Any, task: TaskConfig, file: str) -> str:
    return (
        f"{file}: task.label: the column {task.label!r} holds {value!r}; labels are strings or "
        "whole numbers"
    )
