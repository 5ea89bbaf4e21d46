"""The batches of a caller, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from raykd.data.batches import Batch
from raykd.tasks.own_batches import BatchReader
from raykd.teachers.own_rows import OwnRows

Batches = Iterable[Mapping[str, Any]]
Item = tuple[int, int, Mapping[str, Any]]
"""Step and epoch, both from 0, and the batch as the caller made it."""


class Stream:
    """As many batches as there are steps. Batches that end are read again, if they can be.

    Iterating reads the caller's batches and does nothing else, so that their order is that of the
    caller's random state; `batch` may be called on another thread.
    """

    def __init__(
        self, batches: Batches, reader: BatchReader, steps: int, rows: OwnRows | None = None
    ) -> None:  # fmt: skip
        """Reads the first batch. With `rows`, reads all batches once before, adds their rows, and
        identifies the examples of each batch by them. Raises ValueError if there is no batch."""
        self.steps = steps
        self._batches, self._reader, self._rows = batches, reader, rows
        self._again = not isinstance(batches, Iterator)
        self._labelled: bool | None = None
        if rows is not None:
            self._collect(rows)
        self._first = iter(batches)
        try:
            self._peeked = next(self._first)
        except StopIteration:
            raise ValueError("batches: there are none") from None
        self.labelled = "labels" in self._tensors(self._peeked, "batch 1")

    def _collect(self, rows: OwnRows) -> None:
        if not self._again:
            raise ValueError(
                "cache: batches can be read once only; pass some that can be read again, such as a "
                "DataLoader or a list"
            )
        with torch.random.fork_rng([]):  # the order of the training is that without a cache
            for step, content in enumerate(self._batches):
                name = f"batch {step + 1}"
                rows.add(self._tensors(content, name), name)

    def __iter__(self) -> Iterator[Item]:
        yield 0, 0, self._peeked
        step, epoch, source = 1, 0, self._first
        while step < self.steps:
            began = step
            for content in source:
                yield step, epoch, content
                step += 1
                if step == self.steps:
                    return
            if not self._again or (epoch and step == began):
                raise ValueError(
                    f"batches ended after {step} of {self.steps} steps; write steps={step}, or "
                    "pass batches that can be read again, such as a DataLoader"
                )
            epoch, source = epoch + 1, iter(self._batches)

    def batch(self, item: Item) -> Batch:
        step, epoch, content = item
        name = f"batch {step + 1}"
        tensors = self._tensors(content, name)
        ids = None if self._rows is None else self._rows.ids(tensors, name)
        return replace(self._reader.batch(tensors, ids), epoch=epoch)

    def _tensors(self, content: Mapping[str, Any], name: str) -> dict[str, Tensor]:
        tensors = self._reader.tensors(content, name)
        labelled = "labels" in tensors
        if self._labelled is None:
            self._labelled = labelled
        if labelled != self._labelled:
            here, first = ("labels", "none") if labelled else ("no labels", "some")
            raise ValueError(f"{name} has {here}, and the first has {first}; all batches are alike")
        return tensors


def number_of_steps(batches: Batches, steps: int | None, epochs: int | None) -> int:
    """Raises ValueError unless one of the two is stated, and batches have a length for epochs."""
    if (steps is None) == (epochs is None):
        raise ValueError("write either steps or epochs")
    for name, count in (("steps", steps), ("epochs", epochs)):
        if count is not None and (type(count) is not int or count < 1):
            raise ValueError(f"{name}: {count}; write a whole number from 1 on")
    if steps is not None:
        return steps
    assert epochs is not None
    if not isinstance(batches, Sized):
        raise ValueError("epochs: the batches have no length (len); write steps")
    if not len(batches):
        raise ValueError("batches: there are none")
    return epochs * len(batches)
