"""Assigns rows to splits by a hash of their text, so that a row keeps its split when the file
grows.

Rows that were unfolded from one source are hashed by that source, so they are never divided between
training and test.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from raykd.data.columns import Reading, Row
from raykd.data.data_report import DataReport
from raykd.data.labels import refuse_twins
from raykd.errors import UserError

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig

SPLITS = ("train", "select", "test")
KEEPS = ("test", "select", "train")
"""Order of preference when rows with the same text are in several splits."""
NAMED = 5  # most classes that a line names
REFERENCES = "\x1e"  # between the references of one source: a separator that no text has


@dataclass(frozen=True)
class Placed:
    """A row and its split. Of rows with the same text, the one with the lowest `rank` is kept."""

    row: Row
    split: str
    rank: tuple[int, int]


def distinct(placed: list[Placed]) -> tuple[list[Placed], DataReport]:
    """Drops duplicates, and reports them. Of rows with the same text, the one in test is kept (in
    its first part), else the one in select, else the one in train; within a split, the first
    row."""
    best_by_id = _preferred(placed)
    duplicates = [(p, best_by_id[p.row.id]) for p in placed if p is not best_by_id[p.row.id]]
    return list(best_by_id.values()), DataReport(
        duplicates=len(duplicates),
        relabelled=sum(_answer(p.row) != _answer(best.row) for p, best in duplicates),
        across=sum(p.rank != best.rank for p, best in duplicates),
    )


def _preferred(placed: list[Placed]) -> dict[str, Placed]:
    best_by_id: dict[str, Placed] = {}
    for p in placed:
        best = best_by_id.setdefault(p.row.id, p)
        if p.rank < best.rank:
            best_by_id[p.row.id] = p
    return best_by_id


def _answer(row: Row) -> str | int:
    return row.choices[int(row.label)] if row.choices else row.label


def with_references(placed: list[Placed]) -> tuple[list[Placed], DataReport]:
    """Merges the rows of one source into one row whose references are all their targets of the same
    split, the first one first. Rows with the same source and target are duplicates, and so are rows
    whose source is also in a split that `distinct` prefers."""
    best_by_id, targets = _preferred(placed), dict[str, dict[str, None]]()
    across = relabelled = 0
    for p in placed:
        if p.rank == best_by_id[p.row.id].rank:
            targets.setdefault(p.row.id, {})[str(p.row.label)] = None
    for p in placed:
        if p.rank != best_by_id[p.row.id].rank:
            across += 1
            relabelled += str(p.row.label) not in targets[p.row.id]
    merged = [
        replace(p, row=replace(p.row, label=REFERENCES.join(targets[row_id])))
        for row_id, p in best_by_id.items()
    ]
    dropped = len(placed) - sum(len(row_targets) for row_targets in targets.values())
    references = sum(len(row_targets) - 1 for row_targets in targets.values())
    return merged, DataReport(
        duplicates=dropped, relabelled=relabelled, across=across, references=references
    )


def into_splits(
    reading: Reading, task: TaskConfig, file: str
) -> tuple[dict[str, list[Row]], DataReport]:
    """Rows by split, without duplicates, sorted by id so that the order of the file does not
    matter; test rows are sorted by part first. The report of the reading is returned with the
    counts of this step.

    Splits that the data set lacks are cut from its train rows by hash. If it has a select split and
    no test split, the select split becomes the test split, as in sets published on the hub.
    """
    parts = list((task.test_splits or {}).values())
    stated = {"test" if r.split in parts else r.split for r in reading.rows if r.split}
    test_from_select = "select" in stated and "test" not in stated
    if test_from_select:
        stated = stated - {"select"} | {"test"}
    placed = [_place(row, task, stated, parts, test_from_select) for row in reading.rows]
    merge = with_references if task.of_kind.rows == "source" else distinct
    unique, counts = merge(placed)
    splits: dict[str, list[Row]] = {name: [] for name in SPLITS}
    for p in sorted(unique, key=lambda p: p.row.id):
        splits[p.split].append(p.row)
    if parts:
        _refuse_missing(splits["test"], task, file)
        splits["test"].sort(key=lambda r: parts.index(str(r.split)))  # part after part
    dropped = {}
    whole = splits["train"]
    if task.of_kind.classes:
        dropped = drop_small_classes(splits, task, file)
        whole = splits["train"]
        splits["train"] = sample(splits, task, file)
    elif task.rows is not None:
        splits["train"] = whole[: task.rows]
    for name, members in splits.items():
        if not members:
            share = "smaller shares" if name == "train" else f"a larger `{name}_share`"
            raise UserError(
                f"{file}: task.data: no rows for {name}; give more rows, "
                + (f"or some that the column {task.split!r} puts there" if task.split else share)
            )
    return splits, replace(
        reading.report,
        dropped={**reading.report.dropped, **dropped},
        unused=len(whole) - len(splits["train"]),
        duplicates=counts.duplicates,
        relabelled=counts.relabelled,
        across=counts.across,
        references=counts.references,
        test_from_select=test_from_select,
        hashed=tuple(s for s in ("select", "test") if stated and s not in stated),
    )


def _place(
    row: Row, task: TaskConfig, stated_splits: set[str], parts: list[str], test_from_select: bool
) -> Placed:
    stated = "test" if row.split in parts else row.split
    if test_from_select and stated == "select":
        stated = "test"
    if stated in (None, "train"):  # splits that the data lacks are cut from train
        stated = _by_hash(row.source or row.id, task, stated_splits)
    part = parts.index(str(row.split)) if row.split in parts else 0
    return Placed(row, stated, (KEEPS.index(stated), part))


def _refuse_missing(test: list[Row], task: TaskConfig, file: str) -> None:
    present = {row.split for row in test}
    for part, name in (task.test_splits or {}).items():
        if name not in present:
            where = f"the column {task.split!r}" if task.split else "a `split` column"
            raise UserError(
                f"{file}: task.test_splits.{part}: no row of {task.named} is in {name!r}; "
                f"the names are those of a hub set's splits, or stand in {where}"
            )


def part_sizes(test: list[Row], task: TaskConfig) -> dict[str, int]:
    """Number of rows in each part of test, in order; empty if test has no parts."""
    counts = Counter(row.split for row in test)
    return {part: counts[name] for part, name in (task.test_splits or {}).items()}


def _by_hash(name: str, task: TaskConfig, stated_splits: set[str]) -> str:
    """The split of a row for which the file states none, or train. A test or select split is cut
    only if the file states none."""
    fraction = int(hashlib.sha256(f"split {name}".encode()).hexdigest()[:8], 16) / 2**32
    test = 0.0 if "test" in stated_splits else task.test_share
    select = 0.0 if "select" in stated_splits else task.select_share
    if fraction < test:
        return "test"
    return "select" if fraction < test + select else "train"


def drop_small_classes(splits: dict[str, list[Row]], task: TaskConfig, file: str) -> dict[str, int]:
    """Removes the classes with fewer than `task.min_class_rows` training rows from all splits, and
    returns the number of their rows by the reason. Raises UserError if no class is left."""
    if task.min_class_rows is None:
        return {}
    rows = Counter(str(row.label) for row in splits["train"])
    all_rows = Counter(str(row.label) for members in splits.values() for row in members)
    small = sorted(label for label in all_rows if rows[label] < task.min_class_rows)
    if not small:
        return {}
    for name, members in splits.items():
        splits[name] = [row for row in members if str(row.label) not in small]
    if not any(splits.values()):
        raise UserError(
            f"{file}: task.min_class_rows: {task.min_class_rows}, and the largest class has "
            f"{max(rows.values(), default=0)} training rows; write a smaller number"
        )
    classes = "class has" if len(small) == 1 else f"{len(small)} classes have"
    named = ", ".join(small[:NAMED]) + (", ..." if len(small) > NAMED else "")
    reason = f"their {classes} fewer than {task.min_class_rows} training rows ({named})"
    return {reason: sum(all_rows[label] for label in small)}


def sample(splits: dict[str, list[Row]], task: TaskConfig, file: str) -> list[Row]:
    """The first `task.rows` training rows, sorted by id. With `rows_by: class` every class keeps
    its share of them and at least one row. Fewer rows are always among the more.

    Raises UserError if a class would lose all its rows.
    """
    train = splits["train"]
    if task.rows is None or task.rows >= len(train):
        return train
    kept = train[: task.rows]
    if task.rows_by == "class":
        kept = _by_class(train)[: task.rows]
    held_out = {str(row.label) for name in ("select", "test") for row in splits[name]}
    classes = {str(row.label) for row in train}
    lost = classes - {str(row.label) for row in kept}
    if task.rows_by == "hash":
        lost &= held_out  # in 0.1.0, a class of train alone was left out
    if lost:
        advice = "or `rows_by: class`" if task.rows >= len(classes) else "or fewer classes"
        raise UserError(
            f"{file}: task.rows: {task.rows} of {len(train):,} training rows have none of the "
            f"label {', '.join(sorted(lost)[:5])} ({len(classes)} classes); write more rows, "
            f"{advice} (`min_class_rows` leaves small ones out)"
        )
    return sorted(kept, key=lambda row: row.id)


def _by_class(train: list[Row]) -> list[Row]:
    """The rows in an order whose every beginning has the classes in their shares (Webster's
    method), after one row of each class, the largest class first."""
    sizes, seen = Counter(str(row.label) for row in train), Counter[str]()
    ranked: list[tuple[bool, float, str, Row]] = []
    for row in sorted(train, key=lambda row: row.id):
        label = str(row.label)
        rank = (seen[label] + 0.5) / sizes[label]
        ranked.append((seen[label] > 0, rank, row.id, row))
        seen[label] += 1
    return [row for *_, row in sorted(ranked, key=lambda entry: entry[:3])]


def label_names(splits: dict[str, list[Row]], file: str) -> tuple[str, ...]:
    all_labels = {row.label for rows in splits.values() for row in rows}
    refuse_twins((label for label in all_labels if isinstance(label, str)), file)
    train_labels = {r.label for r in splits["train"]}
    if len(train_labels) < 2:
        raise UserError(
            f"{file}: task.label: every training row has the label {next(iter(train_labels))!r}; a "
            "classifier needs at least two classes"
        )
    held_out = {r.label for name in ("select", "test") for r in splits[name]}
    if unseen := sorted(map(str, held_out - train_labels)):
        raise UserError(
            f"{file}: task.label: no training row has the label {', '.join(unseen[:5])}, which "
            "stands in select or test; give more rows of it, or leave such classes out: "
            "`min_class_rows: 1`"
        )
    if all(isinstance(label, int) for label in train_labels):
        return tuple(str(label) for label in sorted(train_labels))
    # In the data set's order of classes if it has one, else in alphabetical order.
    placed = {(r.place, str(r.label)) for r in splits["train"]}
    return tuple(name for _, name in sorted(placed))
