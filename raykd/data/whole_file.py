"""Reads all columns of a data file, before a task names any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raykd.data import file_tables, readers
from raykd.data.columns import SPLIT_NAMES
from raykd.data.file_format import checksum, ending
from raykd.data.labels import label_names


def read_columns(path: Path, home: Path, where: str) -> dict[str, list[Any]]:
    """The columns of a file by name; of a folder, those of its train file. Class numbers that have
    names are replaced by these. `where` begins the lines of a UserError."""
    if path.is_dir():
        files = readers.folder_files(path, where)
        path = next(f for n, f in files.items() if SPLIT_NAMES.get(n.split("_")[0]) == "train")
    checksum(path, where)
    if ending(path) in file_tables.DELIMITED:
        return file_tables.every_column(path, where).columns
    if ending(path) != ".parquet":
        return file_tables.json_table(path, where).columns
    with readers.parquet(path, home, where) as table:
        return {name: _values(table, name) for name in table.column_names}


def _values(table: Any, name: str) -> list[Any]:
    names, values = label_names(table, name), list(table[name][:])
    if names is None:
        return values
    return [names[v] if v is not None and v >= 0 else None for v in values]
