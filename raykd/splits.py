"""Rows in splits: a row's text decides, so that it never moves when the file grows; of rows that
were unfolded from one, that one's, so that none of them is learned from while another tests."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from raykd.columns import Row
from raykd.errors import UserError

if TYPE_CHECKING:
    from raykd.config import Task

SPLITS = ("train", "select", "test")
REFERENCES = "\x1e"  # between the references of one source: a separator that no text has


def distinct(rows: list[Row]) -> tuple[list[Row], int]:
    """The first row of each text, and how many were dropped."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.id, row)
    return list(first.values()), len(rows) - len(first)


def with_references(rows: list[Row]) -> tuple[list[Row], int]:
    """A row a source, with all its targets as references, the first one first; and how many rows
    said the same as another."""
    first: dict[str, Row] = {}
    targets: dict[str, dict[str, None]] = {}
    for row in rows:
        first.setdefault(row.id, row)
        targets.setdefault(row.id, {})[str(row.label)] = None
    kept = [replace(row, label=REFERENCES.join(targets[name])) for name, row in first.items()]
    return kept, len(rows) - sum(len(found) for found in targets.values())


def into_splits(rows: list[Row], task: Task, file: str) -> dict[str, list[Row]]:
    """Rows by split, each in order of its id, so that a file's own order does not matter; those of
    test by its parts first, where it has some."""
    splits: dict[str, list[Row]] = {name: [] for name in SPLITS}
    parts = list((task.test_splits or {}).values())
    given = {"test" if r.split in parts else r.split for r in rows if r.split}
    for row in sorted(rows, key=lambda r: r.id):
        stated = "test" if row.split in parts else row.split
        splits[stated or _by_hash(row.source or row.id, task, given)].append(row)
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
    return splits


def _refuse_missing(test: list[Row], task: Task, file: str) -> None:
    found = {row.split for row in test}
    for part, name in (task.test_splits or {}).items():
        if name not in found:
            where = f"the column {task.split!r}" if task.split else "a `split` column"
            raise UserError(
                f"{file}: task.test_splits.{part}: no row of {task.data} is in {name!r}; the names "
                f"are those of a hub set's splits, or stand in {where}"
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
