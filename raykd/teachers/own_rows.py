"""Stored teacher outputs for the rows of a caller's batches."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from raykd.data.batches import Batch
from raykd.data.encoded import Encoded
from raykd.maps.activations import Activation
from raykd.models import stacks
from raykd.models.student import width
from raykd.runtime.execution import Execution
from raykd.tasks.own_batches import IGNORED, BatchReader
from raykd.tasks.task import Task
from raykd.teachers.cache import Entry
from raykd.teachers.fill_cache import Filler, choose_half, open_cache
from raykd.teachers.targets import CachedTeacher

Row = dict[str, Tensor]
"""The tensors of one example without padding, each [tokens]."""


@dataclass
class OwnRows:
    """The distinct rows of batches, without padding. Rows are identified by their content, so
    that batches may be shuffled and put together anew in each epoch."""

    reader: BatchReader
    pad: int
    rows: list[Row] = field(default_factory=list)
    numbers: dict[bytes, int] = field(default_factory=dict)
    positions: list[int] = field(default_factory=list)
    """Loss positions of each row."""

    def add(self, tensors: Mapping[str, Tensor], name: str) -> None:
        batch = self.reader.batch(tensors)
        positions = np.ones(batch.examples, int)
        if batch.places is not None:
            width = tensors["labels" if self.reader.kind == "seq2seq" else "input_ids"].shape[1]
            positions = np.bincount(batch.places // width, minlength=batch.examples)
        for row, count in zip(self._split(tensors, name), positions, strict=True):
            if self.numbers.setdefault(_key(row), len(self.rows)) == len(self.rows):
                self.rows.append(row)
                self.positions.append(int(count))

    def ids(self, tensors: Mapping[str, Tensor], name: str) -> np.ndarray:
        """The number of each row of a batch. Raises ValueError on a row that was not added."""
        try:
            return np.array([self.numbers[_key(row)] for row in self._split(tensors, name)])
        except KeyError:
            raise ValueError(
                f"{name} has a row that the first pass over the batches did not have; with stored "
                "teacher outputs every pass yields the same rows, so leave `cache` out"
            ) from None

    def _split(self, tensors: Mapping[str, Tensor], name: str) -> Iterable[Row]:
        mask_BT = tensors["attention_mask"].bool()
        if bool((mask_BT[:, 1:] & ~mask_BT[:, :-1]).any()):
            raise ValueError(f"{name}: with `cache`, padding stands at the end of each row")
        for key, x in tensors.items():
            if key != "labels" and x.shape != mask_BT.shape:
                raise ValueError(f"{name}: {key} is not [examples, tokens]; leave `cache` out")
        kind = self.reader.kind
        for i, length in enumerate(mask_BT.sum(1).tolist()):
            row = {k: x[i, :length] for k, x in tensors.items() if k != "labels"}
            if kind != "classification" and "labels" in tensors:
                labels = tensors["labels"][i]
                row["labels"] = labels[labels != IGNORED] if kind == "seq2seq" else labels[:length]
            yield row

    def encoded(self) -> Encoded:
        lengths = [len(row["input_ids"]) for row in self.rows]
        flat = torch.cat([row["input_ids"] for row in self.rows]).numpy()
        fingerprint = hashlib.sha256(b"".join(self.numbers)).hexdigest()[:12]
        ids = np.arange(len(self.rows))
        ends = None if self.reader.kind == "classification" else _ends(self.positions)
        return Encoded(
            fingerprint, flat, _ends(lengths), None, None, ids, target_offsets=ends
        )  # fmt: skip

    def collate(
        self, encoded: Encoded, rows: np.ndarray, pad: int,
        whole: np.ndarray | None = None, pad_to: int | None = None,
    ) -> Batch:  # fmt: skip
        """`Task.collate` of these rows."""
        fill = {"input_ids": pad, "labels": IGNORED}
        found = [self.rows[i] for i in rows]
        tensors = {
            k: pad_sequence([row[k] for row in found], True, fill.get(k, 0)) for k in found[0]
        }
        return self.reader.batch(tensors, rows)


def own_filler(teacher: PreTrainedModel, family: Task, rows: OwnRows, where: Execution) -> Filler:
    """What runs the teacher over these rows."""
    family = copy.copy(family)
    family.collate = rows.collate  # type: ignore[method-assign]  # all else is as for any rows
    return Filler(teacher, rows.encoded(), rows.pad, where.device, where.autocast, family)


def stored_outputs(
    filler: Filler, states: Iterable[Activation], root: Path, where: Execution
) -> CachedTeacher:
    """The outputs of the teacher for all rows, found under `root` or computed and stored there."""
    teacher, encoded, needed = filler.teacher, filler.encoded, sorted(set(states))
    half = choose_half(filler, stacks.depth(teacher.config))
    precision = f"{where.arithmetic}, weights {teacher.dtype}"
    entry = Entry(_content(teacher), encoded.fingerprint, precision, width(teacher), half)
    return open_cache(str(root), entry, filler, needed, root / "near", where.group)


def _content(model: PreTrainedModel) -> str:
    """12 hex digits that identify a model's weights and configuration."""
    sha = hashlib.sha256(model.config.to_json_string().encode())
    for name, value in sorted(model.state_dict().items()):
        sha.update(name.encode())
        sha.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return sha.hexdigest()[:12]


def _ends(lengths: Iterable[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.array(list(lengths), dtype=np.int64))])


def _key(row: Row) -> bytes:
    sha = hashlib.sha256()
    for name in sorted(row):
        sha.update(f"{name} {len(row[name])} ".encode())
        sha.update(row[name].long().contiguous().numpy().tobytes())
    return sha.digest()
