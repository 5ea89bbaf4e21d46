"""The entries of a teacher cache: what is there, whether it is whole, what goes first."""

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
    """An entry as it lies in the store. `used` is when a sweep last opened it, in seconds since
    the epoch; `bytes` counts all its files."""

    key: str
    teacher: str
    half: str
    columns: tuple[str, ...]
    bytes: int
    used: float

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "columns": list(self.columns)}


def entries(root: str) -> tuple[Shelved, ...]:
    """Every entry under a store, the one unused longest first."""
    fs, base = fsspec.url_to_fs(root)
    if not fs.exists(base):
        return ()
    folders = [
        d["name"] for d in fs.ls(base, detail=True, refresh=True) if d["type"] == "directory"
    ]
    found = [_entry(fs, folder.rstrip("/")) for folder in folders]
    return tuple(sorted((e for e in found if e is not None), key=lambda e: (e.used, e.key)))


def _entry(fs: Any, folder: str) -> Shelved | None:
    files = {d["name"].rsplit("/", 1)[-1]: d["size"] or 0
             for d in fs.ls(folder, detail=True, refresh=True)}  # fmt: skip
    try:
        manifest = json.loads(fs.cat_file(f"{folder}/{MANIFEST}"))
        used = float(fs.cat_file(f"{folder}/{USED}")) if USED in files else 0.0
        teacher, half = manifest["teacher"], manifest["half"]
    except FileNotFoundError:
        return None  # not an entry, or one that is being removed
    except (ValueError, KeyError):
        used, teacher, half = 0.0, "unreadable", "unreadable"
    shards = {name.split(".")[0] for name in files if name.endswith(".safetensors")}
    columns = sorted(shards, key=lambda c: (len(c), c))
    key = folder.rsplit("/", 1)[-1]
    return Shelved(key, teacher, half, tuple(columns), sum(files.values()), used)


def make_room(root: str, wanted: float, limit: float, keep: str) -> list[str]:
    """Remove entries, the one unused longest first, until `wanted` more bytes keep the store
    within `limit`; never the entry `keep`. Returns the keys that went."""
    here = entries(root)
    total, gone = sum(e.bytes for e in here) + wanted, []
    for entry in here:
        if total <= limit:
            break
        if entry.key != keep:
            remove(root, entry.key)
            total -= entry.bytes
            gone.append(entry.key)
    return gone


def remove(root: str, key: str) -> None:
    fs, base = fsspec.url_to_fs(root)
    fs.rm(f"{base.rstrip('/')}/{key}", recursive=True)


def damaged(root: str, key: str) -> list[str]:
    """The shards of an entry that are not what was written, by name."""
    fs, base = fsspec.url_to_fs(root)
    folder = f"{base.rstrip('/')}/{key}"
    found = []
    for path in sorted(fs.ls(folder, detail=False, refresh=True)):
        name = path.rsplit("/", 1)[-1]
        if name.endswith(".safetensors") and not name.startswith(".") and not _whole(fs, path, key):
            found.append(name)
    return found


def _whole(fs: Any, path: str, key: str) -> bool:
    with tempfile.TemporaryDirectory(prefix="raykd-verify-") as folder:
        near = path
        if not isinstance(fs, LocalFileSystem):
            near = f"{folder}/shard"
            fs.get_file(path, near)
        try:
            with safe_open(near, framework="pt") as file:
                header, values = file.metadata() or {}, file.get_tensor("values")
        except SafetensorError:
            return False
        return header.get("entry") == key and header.get("sha256") == checksum(values)
