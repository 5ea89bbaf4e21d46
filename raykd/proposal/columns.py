"""Which columns of a data file hold the texts, the labels and the splits, judged by content."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raykd.data.columns import SPLIT_NAMES
from raykd.errors import UserError

LONG_TEXT = 4.0
"""Mean number of words from which a column holds texts; below, names and titles are possible."""
MOST_CLASSES = 200
ROWS_A_CLASS = 4
MOST_INTEGERS = 20  # classes that are numbers; more distinct numbers are rather a measurement
WORDS_OF_A_LABEL = 6
LABEL_NAMES = {
    "label", "labels", "class", "category", "target", "y", "sentiment", "intent", "topic", "gold",
    "gold_label",
}  # fmt: skip
PAIRS = [
    ("premise", "hypothesis"), ("question", "sentence"), ("question", "answer"),
    ("question", "context"), ("question", "passage"), ("query", "document"), ("query", "passage"),
    ("text", "text_pair"),
]  # fmt: skip
INTEGER = re.compile(r"[+-]?\d+(\.0)?")
MEASUREMENT = re.compile(r"[+-]?(\d+[.,]?\d*|\.\d+)([eE][+-]?\d+)?|\d+([-/.:T ]\d+){2,}Z?")
"""A number, or a point in time."""
WORD = re.compile(r"[^\W\d_]{2,}")
UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
"""Characters of scripts that put no spaces between words: Thai, Japanese, Chinese."""


@dataclass(frozen=True)
class Column:
    """Facts about a column. `words`: mean number of words of a value."""

    name: str
    rows: int
    filled: int
    distinct: int
    words: float
    kind: str
    """text, integer, truth or other; `other` is no label and no text."""
    splits: bool
    """Whether every value is the name of a split."""

    @property
    def is_text(self) -> bool:
        return self.kind == "text" and self.words >= LONG_TEXT and not self._repeats

    @property
    def may_be_text(self) -> bool:
        """Whether the column could hold short texts: titles, names, search queries."""
        return self.kind == "text" and self.words >= 1.2 and 2 * self.distinct > self.filled

    @property
    def may_be_label(self) -> bool:
        if self.kind == "other" or not 2 <= self.distinct:
            return False
        most = MOST_INTEGERS if self.kind == "integer" else MOST_CLASSES
        few = self.distinct <= min(most, self.filled // ROWS_A_CLASS)
        return few and (self.words <= WORDS_OF_A_LABEL or self._repeats)

    @property
    def _repeats(self) -> bool:
        return self.distinct <= min(MOST_CLASSES, self.filled // 10)


@dataclass(frozen=True)
class Chosen:
    """The columns of a task, and whether each was guessed."""

    text: tuple[Column, ...]
    label: Column
    split: Column | None
    guessed: frozenset[str]
    """Which of `text` and `label` nobody stated."""


def described(name: str, values: Sequence[Any]) -> Column:
    filled = [v for v in values if v is not None and v == v and str(v).strip()]
    texts = [v.strip() for v in filled if isinstance(v, str)]
    distinct = len(set(map(str, filled))) if not _nested(filled) else 0
    names = {text.lower() for text in texts}
    return Column(
        name, len(values), len(filled), distinct, _mean_words(texts), _kind(filled),
        splits=len(texts) == len(filled) > 0 and names <= SPLIT_NAMES.keys() and "train" in names
        and len(names) > 1,
    )  # fmt: skip


def _nested(values: Sequence[Any]) -> bool:
    return any(isinstance(v, list | dict | bytes) for v in values)


def _kind(filled: Sequence[Any]) -> str:
    types = {type(v) for v in filled}
    if types == {str}:
        if all(INTEGER.fullmatch(v.strip()) for v in filled):
            return "integer"
        return "other" if all(MEASUREMENT.fullmatch(v.strip()) for v in filled) else "text"
    if types == {bool}:
        return "truth"
    whole = types <= {int, float} and all(float(v).is_integer() for v in filled)
    return "integer" if types and whole else "other"


def _mean_words(texts: Sequence[str]) -> float:
    return sum(map(_words, texts)) / max(1, len(texts))


def _words(text: str) -> float:
    unspaced = len(UNSPACED.findall(text))
    if 2 * unspaced > len(text):
        return unspaced / 2
    return sum(WORD.search(part) is not None for part in text.split())


def choose(
    table: Mapping[str, Sequence[Any]], text: Sequence[str], label: str | None, where: str
) -> Chosen:
    """Choose the columns of a task among those of a table; stated ones are taken as they are.
    Raises UserError with the option to write if the content does not decide."""
    columns = {name: described(name, values) for name, values in table.items()}
    for option, name in [*(("--text", t) for t in text), *([("--label", label)] if label else [])]:
        if name not in columns:
            raise UserError(
                f"{where}: {option} {name}: there is no such column; there are {_listed(columns)}"
            )
    if len(text) > 2 or len(set(text)) < len(text) or label in text:
        raise UserError(
            f"{where}: --text is one column, or two for pairs, and --label another; write each once"
        )
    rest = [c for c in columns.values() if c.name not in (*text, label)]
    split = next((c for c in rest if c.splits), None)
    rest = [c for c in rest if c is not split]
    texts = tuple(columns[t] for t in text) or _texts(rest, where)
    rest = [c for c in rest if c not in texts]
    chosen = columns[label] if label else _label(rest, where)
    _check_header(texts, chosen, table[chosen.name], where)
    stated = {*(["text"] if text else []), *(["label"] if label else [])}
    return Chosen(texts, chosen, split, frozenset({"text", "label"} - stated))


def _check_header(
    texts: Sequence[Column], label: Column, labels: Sequence[Any], where: str
) -> None:
    """Raise UserError for a file without a header, whose first row was read as one: the name of the
    label's column is a label too. A number alone does not tell: pandas names columns 0, 1, 2."""
    number = INTEGER.fullmatch(label.name) is not None
    if label.name in map(str, labels) and not (number and _words(texts[0].name) < LONG_TEXT):
        raise UserError(
            f"{where}: the first line is a row, not the names of the columns ({label.name!r} is a "
            "label too); write a line of names above it"
        )


def _texts(columns: Sequence[Column], where: str) -> tuple[Column, ...]:
    found = [c for c in columns if c.is_text] or [c for c in columns if c.may_be_text]
    if not found:
        raise UserError(
            f"{where}: no column holds texts of several words; write --text COLUMN, one of "
            f"{_listed(c.name for c in columns)}"
        )
    if len(found) == 1:
        return (found[0],)
    if len(found) == 2 and (pair := _pair(found[0], found[1])):
        return pair
    longest = max(found, key=lambda c: c.words)
    other = next(c for c in found if c is not longest)
    raise UserError(
        f"{where}: the columns {_listed(c.name for c in found)} hold texts; write --text "
        f"{longest.name}, or for pairs --text {other.name} --text {longest.name}"
    )


def _pair(one: Column, other: Column) -> tuple[Column, Column] | None:
    """Two columns whose names say that they belong together, in their order."""
    for a, b in ((one, other), (other, one)):
        names = a.name.lower(), b.name.lower()
        numbered = [re.fullmatch(r"(.*?)[ _-]?([12ab])", n) for n in names]
        if names in PAIRS:
            return a, b
        first, second = numbered
        if first and second and first[1] == second[1] and first[2] + second[2] in ("12", "ab"):
            return a, b
    return None


def _label(columns: Sequence[Column], where: str) -> Column:
    found = [c for c in columns if c.may_be_label]
    named = [c for c in found if c.name.lower() in LABEL_NAMES]
    if len(found) == 1 or len(named) == 1:
        return (named or found)[0]
    if not found:
        facts = [
            f"{c.name} has {c.distinct:,} value{'s' * (c.distinct != 1)} in {c.filled:,} rows"
            for c in columns
        ]
        raise UserError(
            f"{where}: no column holds labels, which are few and repeat ({_listed(facts)}); write "
            "--label COLUMN if one of them does"
        )
    raise UserError(
        f"{where}: each of the columns {_listed(c.name for c in found)} could be the label; write "
        f"--label {found[0].name}, or another of them"
    )


def _listed(names: Any) -> str:
    return ", ".join(map(str, names)) or "none"
