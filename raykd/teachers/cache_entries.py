"""The entries of a teacher cache: listing, verification and eviction."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from safetensors import SafetensorError, safe_open

from raykd.teachers.cache import checksum

USED, MANIFEST = "used", "manifest.json"


@dataclass(frozen=True)
class Shelved:
    """A stored entry. `used`: when a sweep last opened it, in seconds since the epoch; `bytes`:
    total size of its files."""

    key: str
    teacher: str
    half: str
    columns: tuple[str, ...]
    bytes: int
    used: float

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "columns": list(self.columns)}


def entries(root: str) -> tuple[Shelved, ...]:
    """Return every entry of a store, least recently used first."""
    fs, base = fsspec.url_to_fs(root)
    if not fs.exists(base):
        return ()
    folders = [
        item["name"]
        for item in fs.ls(base, detail=True, refresh=True)
        if item["type"] == "directory"
    ]
    candidates = [_entry(fs, folder.rstrip("/")) for folder in folders]
    return tuple(
        sorted(
            (entry for entry in candidates if entry is not None),
            key=lambda entry: (entry.used, entry.key),
        )
    )


def _entry(fs: Any, folder: str) -> Shelved | None:
    files = {item["name"].rsplit("/", 1)[-1]: item["size"] or 0
             for item in fs.ls(folder, detail=True, refresh=True)}  # fmt: skip
    try:
        manifest = json.loads(fs.cat_file(f"{folder}/{MANIFEST}"))
        used = float(fs.cat_file(f"{folder}/{USED}")) if USED in files else 0.0
        teacher, half = manifest["teacher"], manifest["half"]
    except FileNotFoundError:
        return None  # not an entry, or being removed by another process
    except (ValueError, KeyError):
        used, teacher, half = 0.0, "unreadable", "unreadable"
    shards = {name.split(".")[0] for name in files if name.endswith(".safetensors")}
    columns = sorted(shards, key=lambda c: (len(c), c))
    key = folder.rsplit("/", 1)[-1]
    return Shelved(key, teacher, half, tuple(columns), sum(files.values()), used)


def make_room(root: str, wanted: float, limit: float, keep: str) -> list[str]:
    """Remove least recently used entries until `wanted` more bytes fit within `limit`. The entry
    `keep` is never removed. Returns the removed keys."""
    stored_entries = entries(root)
    total, removed = sum(stored.bytes for stored in stored_entries) + wanted, []
    for entry in stored_entries:
        if total <= limit:
            break
        if entry.key != keep:
            remove(root, entry.key)
            total -= entry.bytes
            removed.append(entry.key)
    return removed


def remove(root: str, key: str) -> None:
    fs, base = fsspec.url_to_fs(root)
    fs.rm(f"{base.rstrip('/')}/{key}", recursive=True)


def damaged(root: str, key: str) -> list[str]:
    """Return the names of an entry's damaged shards."""
    fs, base = fsspec.url_to_fs(root)
    folder = f"{base.rstrip('/')}/{key}"
    names = []
    for path in sorted(fs.ls(folder, detail=False, refresh=True)):
        name = path.rsplit("/", 1)[-1]
        if (
            name.endswith(".safetensors")
            and not name.startswith(".")
            and not _is_intact(fs, path, key)
        ):
            names.append(name)
    return names


def _is_intact(fs: Any, path: str, key: str) -> bool:
    with tempfile.TemporaryDirectory(prefix="raykd-verify-") as folder:
        local_path = path
        if not isinstance(fs, LocalFileSystem):
            local_path = f"{folder}/shard"
            fs.get_file(path, local_path)
        try:
            with safe_open(local_path, framework="pt") as file:
                header, values = file.metadata() or {}, file.get_tensor("values")
        except SafetensorError:
            return False
        return header.get("entry") == key and header.get("sha256") == checksum(values)
