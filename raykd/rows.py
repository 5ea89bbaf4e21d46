"""Where rows come from: the built-in reviews, a file, or a hub data set; all through `datasets`."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from raykd import assets
from raykd.config import Task
from raykd.errors import UserError
from raykd.trial import digest

SPLIT_NAMES = {
    "train": "train", "select": "select", "validation": "select", "valid": "select",
    "val": "select", "dev": "select", "test": "test",
}  # fmt: skip
READERS: dict[str, tuple[str, dict[str, Any]]] = {
    # Empty cells stay empty strings: a review that says "None" or "NA" is a text.
    ".csv": ("csv", {"keep_default_na": False}),
    ".tsv": ("csv", {"keep_default_na": False, "sep": "\t"}),
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    ".parquet": ("parquet", {}),
}


@dataclass(frozen=True)
class Row:
    texts: tuple[str, ...]
    label: str | int
    split: str | None = None

    @cached_property
    def id(self) -> str:
        return hashlib.sha256("\0".join(self.texts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Source:
    """`key` names the rows' content without parsing it; `rows` parses."""

    key: str
    rows: Callable[[], list[Row]]


def read(task: Task, home: Path, file: str) -> Source:
    """The source a task names. Raises UserError for one that is not there."""
    if task.data == "movie-reviews":
        asset = assets.ASSETS["movie-reviews"]
        return Source(asset.fingerprint, lambda: _movie_reviews(assets.fetch(task.data, home)))
    path = Path(task.data).expanduser()
    if path.suffix in READERS or path.exists():
        return _file(path, task, home, file)
    return _hub(task, home, file)


def _movie_reviews(folder: Path) -> list[Row]:
    """Label = sign of the mean rating (-4..4), rows with |rating| < 0.5 left out."""
    rows = []
    for line in (folder / "movie_reviews.txt").read_text(encoding="utf-8").splitlines():
        _, rating, text = line.split("\t", 2)
        if abs(float(rating)) >= 0.5:
            label = "positive" if float(rating) > 0 else "negative"
            rows.append(Row((text.strip(),), label))
    return rows


def _file(path: Path, task: Task, home: Path, file: str) -> Source:
    where = f"{file}: task.data: {path}"
    if path.suffix not in READERS:
        raise UserError(f"{where}: write a {', '.join(READERS)} file, or a hub name")
    if not path.is_file():
        raise UserError(f"{where}: no such file (from {Path.cwd()})")
    if path.stat().st_size == 0:
        raise UserError(f"{where}: the file is empty")
    if path.suffix != ".parquet":
        _check_utf8(path, where)
    with path.open("rb") as stream:
        sha = hashlib.file_digest(stream, "sha256").hexdigest()

    def rows() -> list[Row]:
        import datasets

        datasets.disable_progress_bars()
        builder, options = READERS[path.suffix]
        try:
            table = datasets.load_dataset(
                builder, data_files=str(path), split="train", cache_dir=str(home / "hf"), **options
            )
        except (datasets.exceptions.DatasetGenerationError, ValueError) as error:
            cause = str(error.__cause__ or error).strip().splitlines()[-1]
            raise UserError(f"{where}: cannot be read as {builder}: {cause[:200]}") from error
        return _rows(table, task, file, where)

    return Source(digest([sha, path.suffix]), rows)


def _check_utf8(path: Path, where: str) -> None:
    decoder, offset = codecs.getincrementaldecoder("utf-8")(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{where}: not UTF-8 near byte {offset + error.start}; save it as UTF-8 "
                    "(for example: iconv -f latin1 -t utf-8)"
                ) from None
            offset += len(chunk)


def _hub(task: Task, home: Path, file: str) -> Source:
    if task.data.startswith((".", "/", "~")):
        raise UserError(f"{file}: task.data: {task.data}: no such file (from {Path.cwd()})")
    where = f"{file}: task.data: {task.data}"

    def rows() -> list[Row]:
        import datasets

        datasets.disable_progress_bars()
        try:
            found = datasets.load_dataset(
                task.data, task.subset, revision=task.revision, cache_dir=str(home / "hf")
            )
        except Exception as error:  # datasets and its hub client raise many kinds
            reason = (
                str(error).strip().splitlines()[0][:200] if str(error) else type(error).__name__
            )
            raise UserError(
                f"{where}: neither a built-in task (movie-reviews) nor a file, and the hub does "
                f"not give it ({reason}); check the name, `revision` and the network"
            ) from error
        return _hub_rows(found, task, file, where)

    return Source(digest([task.data, task.subset, task.revision]), rows)


def _hub_rows(found: Any, task: Task, file: str, where: str) -> list[Row]:
    """A hub set's own splits. A validation split without a labelled test split is the test, since
    select is cut from train by hash; the set's labels stand by name where it has names."""
    named = {k: v for k, v in found.items() if not _unlabelled(v, task)}
    by_role: dict[str, Any] = {}
    for name, table in named.items():
        base = name.split("_")[0]
        if base in SPLIT_NAMES:
            by_role.setdefault(SPLIT_NAMES[base], table)
    if "test" not in by_role and "select" in by_role:
        by_role["test"] = by_role.pop("select")
    rows: list[Row] = []
    for role, table in by_role.items():
        part = _rows(table, task, file, where)
        # Train rows stay open, so that what is missing is split off them by hash.
        rows += [Row(r.texts, r.label, None if role == "train" else role) for r in part]
    return rows


def _unlabelled(table: Any, task: Task) -> bool:
    return task.label in table.column_names and set(table[task.label][:64]) == {-1}


def _rows(table: Any, task: Task, file: str, where: str) -> list[Row]:
    columns = table.column_names
    wanted = [("text", c) for c in task.columns] + [("label", task.label)]
    wanted += [("split", task.split)] if task.split else []
    for key, column in wanted:
        if column not in columns:
            raise UserError(
                f"{file}: task.{key}: {task.data} has no column {column!r}; it has "
                f"{', '.join(columns)}"
            )
    if len(table) == 0:
        raise UserError(f"{where}: the file has no rows")
    texts = [["" if v is None else str(v).strip() for v in table[c][:]] for c in task.columns]
    labels = _labels(table, task, file)
    _refuse_empty("text", (i for column in texts for i, v in enumerate(column, 1) if not v), where)
    _refuse_empty("label", (i for i, v in enumerate(labels, 1) if v in (None, "")), where)
    splits: list[str | None] = [None] * len(labels)
    if task.split:
        splits = [_split_name(v, task, file) for v in table[task.split][:]]
    pairs = zip(*texts, strict=True)
    return [Row(*row) for row in zip(pairs, labels, splits, strict=True)]


def _labels(table: Any, task: Task, file: str) -> list[Any]:
    names = getattr(table.features[task.label], "names", None)
    values = table[task.label][:]
    if names:
        return [names[v] if v is not None and v >= 0 else None for v in values]
    return [_label(v, task, file) for v in values]


def _label(value: Any, task: Task, file: str) -> str | int | None:
    if value is None or isinstance(value, bool | int):
        return None if value is None else int(value)
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float) and value.is_integer():
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
