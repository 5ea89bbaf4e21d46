"""Batches: the rows of each step, and their padded tensors. torch and numpy only.

The order depends on lengths, batch size and seed alone, not on workers, cohort or interruptions.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from raykd.maps.activations import Stack

if TYPE_CHECKING:
    from raykd.data.encoded import Encoded

BUCKET = 32  # batches whose rows are sorted by length together: little padding, and still shuffled
AHEAD = 3  # batches that are prepared while a step computes

Step = tuple[int, np.ndarray]
"""An epoch, and the rows of one of its global batches."""

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True)
class Batch:
    """One worker's share of a global batch, padded to the longest row of the share.

    `inputs` holds int64 tensors [B, T]. `valid` holds the indices of the valid tokens in the
    flattened [B * T], computed on the host to avoid a GPU synchronisation. `examples`, `tokens`
    (valid ones) and `positions` (loss positions) count the global batch, so that the losses of the
    shares sum to the loss of the whole. `labels` are those of the P loss positions, which are at
    the indices `places` of the flattened [B * T]; `places` is None if each example has one loss
    position. `epoch` counts from 0.
    """

    ids: np.ndarray
    inputs: dict[str, Tensor]
    valid: Tensor
    labels: Tensor | None
    examples: int
    tokens: int
    positions: int
    places: Tensor | None = None
    epoch: int = 0

    def valid_in(self, stack: Stack) -> Tensor:
        """Indices of the valid tokens of a stack. The decoder of an encoder-decoder reads one token
        at each loss position."""
        if stack == "encoder":
            return self.valid
        assert self.places is not None
        return self.places

    def count_in(self, stack: Stack) -> int:
        """Number of valid tokens of the global batch in a stack."""
        return self.tokens if stack == "encoder" else self.positions

    def pinned(self, device: torch.device) -> Batch:
        """The batch in pinned memory if the device is a GPU, so that transfers are asynchronous."""
        return self if device.type == "cpu" else self._each(lambda x: x.pin_memory())

    def to(self, device: torch.device) -> Batch:
        return (
            self if device.type == "cpu" else self._each(lambda x: x.to(device, non_blocking=True))
        )

    def _each(self, move: Callable[[Tensor], Tensor]) -> Batch:
        labels = None if self.labels is None else move(self.labels)
        places = None if self.places is None else move(self.places)
        inputs = {k: move(v) for k, v in self.inputs.items()}
        return replace(self, inputs=inputs, valid=move(self.valid), labels=labels, places=places)


def order(
    lengths: np.ndarray, batch: int, seed: int, epoch: int, tokens: int | None = None
) -> list[np.ndarray]:
    """One epoch's global batches as row indices: every row once, rows of similar length together.

    Rows are shuffled, divided into buckets of `BUCKET` batches, sorted by length within each bucket
    and divided into batches, which are shuffled. A batch has `batch` rows (the last may have
    fewer), or with `tokens`, as many rows as fit into that many tokens, padding included, and at
    least one.
    """
    rng = np.random.default_rng([seed, epoch])
    rows = rng.permutation(len(lengths))
    span = BUCKET * (batch if tokens is None else max(1, round(tokens / lengths.mean())))
    buckets = [rows[i : i + span] for i in range(0, len(rows), span)]
    by_length = [b[np.argsort(lengths[b], kind="stable")] for b in buckets]
    batches = [part for b in by_length for part in _cut(b, lengths[b], batch, tokens)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _cut(
    rows: np.ndarray, lengths: np.ndarray, batch: int, tokens: int | None
) -> Iterator[np.ndarray]:
    """Divides rows that are sorted by length into batches."""
    first = 0
    while first < len(rows):
        last = first + batch
        if tokens is not None:  # the padded size of the first n rows grows with n
            padded = lengths[first:] * np.arange(1, len(rows) - first + 1)
            last = first + max(1, int(np.searchsorted(padded, tokens, "right")))
        yield rows[first:last]
        first = last


def by_epoch(
    lengths: np.ndarray, batch: int, seed: int, start: int = 0, tokens: int | None = None
) -> Iterator[Step]:
    """The epoch (0-based) and the global batch of every step from `start` (0-based) on, without
    end."""
    skipped = 0
    if tokens is None:  # all epochs have the same number of batches: skip whole epochs
        skipped, start = divmod(start, -(-len(lengths) // batch))
    steps = (
        (epoch, rows)
        for epoch in itertools.count(skipped)
        for rows in order(lengths, batch, seed, epoch, tokens)
    )
    return itertools.islice(steps, start, None)


def shard(rows: np.ndarray, rank: int, world: int) -> np.ndarray:
    """A worker's share of a global batch; empty if there are fewer rows than workers."""
    return rows[rank::world]


def eval_batches(lengths: np.ndarray, batch: int) -> list[np.ndarray]:
    """Every row once, sorted by length, for evaluation."""
    rows = np.argsort(lengths, kind="stable")
    return [rows[i : i + batch] for i in range(0, len(rows), batch)]


def collate(
    encoded: Encoded,
    rows: np.ndarray,
    pad: int,
    examples: int,
    tokens: int,
    pad_to: int | None = None,
) -> Batch:
    """Gathers rows into tensors padded to the longest row (or to `pad_to`), with one loss position
    for each row."""
    ids_BT, mask_BT = pad_rows(encoded.input_ids, encoded.offsets, rows, pad, pad_to)
    inputs = {"input_ids": ids_BT, "attention_mask": torch.from_numpy(mask_BT.astype(np.int64))}
    if encoded.type_ids is not None:
        types_BT, _ = pad_rows(encoded.type_ids, encoded.offsets, rows, 0, pad_to)
        inputs["token_type_ids"] = types_BT
    labels = None
    if encoded.labels is not None:
        labels = torch.from_numpy(encoded.labels[rows].astype(np.int64))
    valid = torch.from_numpy(np.flatnonzero(mask_BT))
    return Batch(encoded.ids[rows], inputs, valid, labels, examples, tokens, examples)


def pad_rows(
    flat: np.ndarray, ends: np.ndarray, rows: np.ndarray, fill: int, pad_to: int | None = None
) -> tuple[Tensor, np.ndarray]:
    """Rows `flat[ends[i]:ends[i + 1]]` padded to the longest (or to `pad_to`) as int64 [B, T], and
    a mask of the places that are not padding."""
    lengths = ends[rows + 1] - ends[rows]
    positions = np.arange(max(int(lengths.max(initial=1)), pad_to or 0))
    mask_BT = positions < lengths[:, None]
    # Out-of-range indices are clipped to a valid one and then overwritten by padding.
    places = np.minimum(ends[rows][:, None] + positions, len(flat) - 1)
    return torch.from_numpy(np.where(mask_BT, flat[places], fill).astype(np.int64)), mask_BT


def prefetch(items: Iterable[In], make: Callable[[In], Out], depth: int = AHEAD) -> Iterator[Out]:
    """Yields `make` of each item, in order, computed by a thread up to `depth` items ahead, so that
    a step does not wait for its batch. Exceptions of `make` are raised at their item."""
    waiting: deque[Future[Out]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="raykd-batches") as thread:
        try:
            for item in items:
                waiting.append(thread.submit(make, item))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def valid(x_BTD: Tensor, places_N: Tensor) -> Tensor:
    """The valid tokens of x as x_ND, in row-major order; `places_N` is a batch's `valid`."""
    return x_BTD.flatten(0, 1).index_select(0, places_N)
