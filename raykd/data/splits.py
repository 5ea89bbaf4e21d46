"""Rows in splits: a row's text decides, so that it never moves when the file grows; of rows that
were unfolded from one, that one's, so that none of them is learned from while another tests."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from raykd.data.columns import Reading, Row
from raykd.data.data_report import DataReport
from raykd.errors import UserError

if TYPE_CHECKING:
    from raykd.config.task import Task

SPLITS = ("train", "select", "test")
KEEPS = ("test", "select", "train")
"""Of rows with the same text in several splits, that of the first of these is kept."""
REFERENCES = "\x1e"  # between the references of one source: a separator that no text has


@dataclass(frozen=True)
class Placed:
    """A row in its split. `rank`: of rows with the same text the one with the lowest is kept."""

    row: Row
    split: str
    rank: tuple[int, int]


def distinct(placed: list[Placed]) -> tuple[list[Placed], DataReport]:
    """One row a text, and what became of its duplicates: test keeps its row (of its parts the
    first one), then select, and train gives way; within a split it is the first row."""
    first = _first(placed)
    again = [(p, first[p.row.id]) for p in placed if p is not first[p.row.id]]
    return list(first.values()), DataReport(
        duplicates=len(again),
        relabelled=sum(_answer(p.row) != _answer(kept.row) for p, kept in again),
        across=sum(p.rank != kept.rank for p, kept in again),
    )


def _first(placed: list[Placed]) -> dict[str, Placed]:
    first: dict[str, Placed] = {}
    for p in placed:
        kept = first.setdefault(p.row.id, p)
        if p.rank < kept.rank:
            first[p.row.id] = p
    return first


def _answer(row: Row) -> str | int:
    return row.choices[int(row.label)] if row.choices else row.label


def with_references(placed: list[Placed]) -> tuple[list[Placed], DataReport]:
    """A row a source, with all its targets of the same split as references, the first one first.
    A row that says the same as another is a duplicate, and so is one whose source stands in a
    split that `distinct` prefers."""
    first, targets = _first(placed), dict[str, dict[str, None]]()
    across = relabelled = 0
    for p in placed:
        if p.rank == first[p.row.id].rank:
            targets.setdefault(p.row.id, {})[str(p.row.label)] = None
    for p in placed:
        if p.rank != first[p.row.id].rank:
            across += 1
            relabelled += str(p.row.label) not in targets[p.row.id]
    kept = [
        replace(p, row=replace(p.row, label=REFERENCES.join(targets[name])))
        for name, p in first.items()
    ]
    dropped = len(placed) - sum(len(found) for found in targets.values())
    more = sum(len(own) - 1 for own in targets.values())
    return kept, DataReport(
        duplicates=dropped, relabelled=relabelled, across=across, references=more
    )


def into_splits(reading: Reading, task: Task, file: str) -> tuple[dict[str, list[Row]], DataReport]:
    """Rows by split, each text once, in order of their ids, so that a file's own order does not
    matter; those of test by its parts first, where it has some. With the reading's report, filled
    with what the splits know.

    What a data set lacks is cut from its train rows by hash. Where it has a select split and no
    test split, that is the test, as hub sets are published.
    """
    parts = list((task.test_splits or {}).values())
    given = {"test" if r.split in parts else r.split for r in reading.rows if r.split}
    test_from_select = "select" in given and "test" not in given
    if test_from_select:
        given = given - {"select"} | {"test"}
    placed = [_place(row, task, given, parts, test_from_select) for row in reading.rows]
    merge = with_references if task.kind == "seq2seq" else distinct
    kept, found = merge(placed)
    splits: dict[str, list[Row]] = {name: [] for name in SPLITS}
    for p in sorted(kept, key=lambda p: p.row.id):
        splits[p.split].append(p.row)
    if parts:
        _refuse_missing(splits["test"], task, file)
        splits["test"].sort(key=lambda r: parts.index(str(r.split)))  # one after the other
    if task.rows is not None:
        splits["train"] = splits["train"][: task.rows]
    for name, members in splits.items():
        if not members:
            share = "smaller shares" if name == "train" else f"a larger `{name}_share`"
            raise UserError(
                f"{file}: task.data: no rows for {name}; give more rows, "
                + (f"or some that the column {task.split!r} puts there" if task.split else share)
            )
    return splits, replace(
        reading.report,
        duplicates=found.duplicates,
        relabelled=found.relabelled,
        across=found.across,
        references=found.references,
        test_from_select=test_from_select,
        hashed=tuple(s for s in ("select", "test") if given and s not in given),
    )


def _place(
    row: Row, task: Task, given: set[str], parts: list[str], test_from_select: bool
) -> Placed:
    stated = "test" if row.split in parts else row.split
    if test_from_select and stated == "select":
        stated = "test"
    if stated in (None, "train"):  # train rows are cut where the data lacks a split
        stated = _by_hash(row.source or row.id, task, given)
    part = parts.index(str(row.split)) if row.split in parts else 0
    return Placed(row, stated, (KEEPS.index(stated), part))


def _refuse_missing(test: list[Row], task: Task, file: str) -> None:
    found = {row.split for row in test}
    for part, name in (task.test_splits or {}).items():
        if name not in found:
            where = f"the column {task.split!r}" if task.split else "a `split` column"
            raise UserError(
                f"{file}: task.test_splits.{part}: no row of {task.named} is in {name!r}; "
                f"the names are those of a hub set's splits, or stand in {where}"
            )


def part_sizes(test: list[Row], task: Task) -> dict[str, int]:
    """How many rows each part of test has, in their order; empty where it has no parts."""
    counts = Counter(row.split for row in test)
    return {part: counts[name] for part, name in (task.test_splits or {}).items()}


def _by_hash(name: str, task: Task, given: set[str]) -> str:
    """The split of a row that the file puts in none. Where the file has a test (or select) split
    of its own, only the others are cut from the rest."""
    place = int(hashlib.sha256(f"split {name}".encode()).hexdigest()[:8], 16) / 2**32
    test = 0.0 if "test" in given else task.test_share
    select = 0.0 if "select" in given else task.select_share
    if place < test:
        return "test"
    return "select" if place < test + select else "train"


def label_names(splits: dict[str, list[Row]], file: str) -> tuple[str, ...]:
    found = {r.label for r in splits["train"]}
    if len(found) < 2:
        raise UserError(
            f"{file}: task.label: every training row has the label {next(iter(found))!r}; a "
            "classifier needs at least two classes"
        )
    held_out = {r.label for name in ("select", "test") for r in splits[name]}
    if unseen := sorted(map(str, held_out - found)):
        raise UserError(
            f"{file}: task.label: no training row has the label {', '.join(unseen[:5])}, which "
            "stands in select or test; give more rows of it, or drop them"
        )
    if all(isinstance(label, int) for label in found):
        return tuple(str(label) for label in sorted(found))
    # In the data set's own order where it has one, else in that of the alphabet.
    placed = {(r.place, str(r.label)) for r in splits["train"]}
    return tuple(name for _, name in sorted(placed))
