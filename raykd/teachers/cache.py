"""A teacher's outputs on disk: computed once, then read by every student.

An entry is a folder named by a hash of everything that determines its values. It holds a manifest
and, for each column (`logits`, `state-3`, ...) and span of rows, one shard of safetensors. Padding
is not stored: a state's shard is [valid tokens of the span, width] in half precision, logits are
[loss positions of the span, classes] in fp32. For a teacher with a head over a vocabulary, the
last hidden state at the loss positions is stored in place of the logits, also in fp32, and the head
computes the logits when they are used: the values are the same, and the store does not grow with
the vocabulary. Shards are written atomically and carry a checksum, so an interrupted writer can be
resumed, and a damaged shard is detected before it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import numpy as np
import torch
from fsspec.implementations.local import LocalFileSystem
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from raykd.data.encoded import Encoded
from raykd.maps.activations import Activation
from raykd.runtime.memo import digest

FORMAT = 1
SHARD_BYTES = 64 * 2**20
HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
OUTPUTS = "logits"


class Damaged(Exception):
    """A shard that is truncated, changed, or belongs to another entry."""

    def __init__(self, path: Path, reason: object, span: Span) -> None:
        super().__init__(f"{path}: {reason}")
        self.span = span


@dataclass(frozen=True)
class Entry:
    """The identity of an entry. `rows`: fingerprint of the encoded split (texts, tokenizer,
    truncation); `precision`: what the teacher computed in; `half`: dtype of the stored states."""

    teacher: str
    rows: str
    precision: str
    width: int
    half: str
    format: int = FORMAT

    @cached_property
    def key(self) -> str:
        return digest(asdict(self))


@dataclass(frozen=True)
class Span:
    """Rows `first` to `last` (exclusive); each column has one shard per span."""

    number: int
    first: int
    last: int


def spans(encoded: Encoded, width: int, shard_bytes: int = SHARD_BYTES) -> tuple[Span, ...]:
    """Split the rows into spans of about `shard_bytes` per state column, at least one row each."""
    per_span = max(1, shard_bytes // (2 * width))
    result: list[Span] = []
    first, rows = 0, len(encoded.ids)
    while first < rows:
        end = int(np.searchsorted(encoded.offsets, encoded.offsets[first] + per_span, "right")) - 1
        last = min(rows, max(first + 1, end))
        result.append(Span(len(result), first, last))
        first = last
    return tuple(result)


class Cache:
    """One entry under `root` (a folder or any fsspec URL), for one encoded split.

    Shards of a remote entry are copied to the local folder `scratch` when they are first used.
    """

    def __init__(
        self, root: str, entry: Entry, encoded: Encoded, scratch: Path,
        shard_bytes: int = SHARD_BYTES,
    ) -> None:  # fmt: skip
        self.entry = entry
        self.encoded = encoded
        self.spans = spans(encoded, entry.width, shard_bytes)
        self._fs, base = fsspec.url_to_fs(root)
        self.folder = f"{base.rstrip('/')}/{entry.key}"
        self.local = isinstance(self._fs, LocalFileSystem)
        self._near = Path(self.folder) if self.local else scratch / entry.key
        self._open: dict[tuple[str, int], np.ndarray] = {}
        self._order = np.argsort(encoded.ids, kind="stable")
        self._firsts = np.array([s.first for s in self.spans])

    def prepare(self) -> None:
        """Create the entry, or open the existing one. An entry with another manifest was changed by
        something else and cannot be trusted, so it is emptied."""
        manifest = {**asdict(self.entry), "spans": [[s.first, s.last] for s in self.spans]}
        path = f"{self.folder}/manifest.json"
        try:
            stored_manifest = json.loads(self._fs.cat_file(path))
        except (FileNotFoundError, ValueError):
            stored_manifest = None
        if stored_manifest != manifest:
            self.drop()
            self._put(path, json.dumps(manifest).encode())
        self._put(f"{self.folder}/used", str(time.time()).encode())

    def drop(self) -> None:
        """Remove the entry with all its shards."""
        self._open.clear()
        if self._fs.exists(self.folder):
            self._fs.rm(self.folder, recursive=True)
        if not self.local and self._near.exists():
            fsspec.filesystem("file").rm(str(self._near), recursive=True)

    def missing(self, columns: Iterable[str]) -> list[tuple[Span, list[str]]]:
        """Return the spans that lack some of these columns, each with its missing columns."""
        stored_files = {
            p.rsplit("/", 1)[-1] for p in self._fs.ls(self.folder, detail=False, refresh=True)
        }
        names = list(columns)
        lacking_by_span = (
            (s, [c for c in names if _name(c, s.number) not in stored_files]) for s in self.spans
        )
        return [(span, lacking) for span, lacking in lacking_by_span if lacking]

    def missing_bytes(self, columns: Iterable[str], outputs: int) -> int:
        """Return the size in bytes of the missing shards."""
        return sum(
            self._length(name, span) * (outputs * 4 if name == OUTPUTS else self.entry.width * 2)
            for span, lacking in self.missing(columns)
            for name in lacking
        )

    def write(self, name: str, span: Span, values: Tensor) -> None:
        """Store one shard atomically. Raises OSError if the disk is full."""
        header = {**self._header(name, span), "sha256": checksum(values)}
        path = f"{self.folder}/{_name(name, span.number)}"
        self._open.pop((name, span.number), None)
        local_folder = self._near
        local_folder.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=".draft-", dir=local_folder)
        os.close(handle)
        try:
            save_file({"values": values.contiguous()}, draft, metadata=header)
            if not self.local:
                self._fs.put_file(draft, path)
            os.replace(draft, local_folder / _name(name, span.number))
        except SafetensorError as error:
            raise OSError(str(error)) from error
        finally:
            Path(draft).unlink(missing_ok=True)

    def read(self, name: str, ids: np.ndarray) -> Tensor:
        """Return a column's values for these examples, concatenated: states [valid tokens, width],
        logits [loss positions, classes]. Raises KeyError for an unknown example, Damaged for a bad
        shard."""
        rows = self._rows(ids)
        is_output = name == OUTPUTS
        ends = self.ends(name)
        starts, lengths = ends[rows], ends[rows + 1] - ends[rows]
        offsets = np.cumsum(lengths) - lengths
        places = np.repeat(starts - offsets, lengths) + np.arange(lengths.sum())
        owners = np.repeat(np.searchsorted(self._firsts, rows, "right") - 1, lengths)
        values: np.ndarray | None = None
        for number in np.unique(owners):
            span, in_span = self.spans[number], owners == number
            shard = self.shard(name, span)
            begin = int(ends[span.first])
            if values is None:
                values = np.empty((len(places), shard.shape[1]), shard.dtype)
            values[in_span] = shard[places[in_span] - begin]
        assert values is not None
        tensor = torch.from_numpy(values)
        return tensor if is_output else tensor.view(HALVES[self.entry.half])

    def shard(self, name: str, span: Span) -> np.ndarray:
        """Return a shard's values, loaded and verified on first use; half precision as int16."""
        key = (name, span.number)
        if key not in self._open:
            self._open[key] = self._checked(name, span)
        return self._open[key]

    def _checked(self, name: str, span: Span) -> np.ndarray:
        path = self._near / _name(name, span.number)
        if not path.exists() and not self.local:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".draft-{uuid4().hex}-{path.name}")
            self._fs.get_file(f"{self.folder}/{path.name}", str(draft))
            draft.replace(path)
        try:
            with safe_open(path, framework="pt") as file:
                header, values = file.metadata(), file.get_tensor("values")
        except (SafetensorError, FileNotFoundError) as error:
            raise Damaged(path, error, span) from error
        expected = {**self._header(name, span), "sha256": checksum(values)}
        if header != expected or values.shape[0] != self._length(name, span):
            self.forget(name, span)
            raise Damaged(path, "its checksum or its owner is another", span)
        array: np.ndarray = (values if name == OUTPUTS else values.view(torch.int16)).numpy()
        return array

    def forget(self, name: str, span: Span) -> None:
        """Drop a shard from memory and its local copy, so that the next use reads it again."""
        self._open.pop((name, span.number), None)
        if not self.local:
            (self._near / _name(name, span.number)).unlink(missing_ok=True)

    def _length(self, name: str, span: Span) -> int:
        ends = self.ends(name)
        return int(ends[span.last] - ends[span.first])

    def ends(self, name: str) -> np.ndarray:
        """Return a column's offsets: row i has the values from `[i]` to `[i + 1]`. The outputs and
        decoder states have one value per loss position, all other states one per token."""
        by_position = name == OUTPUTS or Activation.from_column(name).stack == "decoder"
        return self.encoded.position_offsets if by_position else self.encoded.offsets

    def _header(self, name: str, span: Span) -> dict[str, str]:
        return {"entry": self.entry.key, "column": name, "rows": f"{span.first}:{span.last}"}

    def _rows(self, ids: np.ndarray) -> np.ndarray:
        positions = np.searchsorted(self.encoded.ids, ids, sorter=self._order)
        rows: np.ndarray = self._order[np.minimum(positions, len(self._order) - 1)]
        unknown = self.encoded.ids[rows] != ids
        if unknown.any():
            raise KeyError(f"example {ids[unknown][0]} is not in the teacher's cache")
        return rows

    def _put(self, path: str, content: bytes) -> None:
        """Write a file atomically: object stores do so themselves, a local file needs a rename."""
        if not self.local:
            self._fs.pipe_file(path, content)
            return
        Path(self.folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = f"{path}.draft-{uuid4().hex}"
        Path(draft).write_bytes(content)
        os.replace(draft, path)


def _name(column_name: str, number: int) -> str:
    return f"{column_name}.{number:05}.safetensors"


def checksum(values: Tensor) -> str:
    """Return the SHA-256 of a shard's raw values."""
    raw: Any = values.contiguous().view(torch.uint8).numpy()
    return hashlib.sha256(raw).hexdigest()


def columns(states: Sequence[Activation]) -> list[str]:
    return [OUTPUTS, *(state.column for state in sorted(states))]
