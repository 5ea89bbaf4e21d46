"""Where a batch's teacher outputs come from: `Live` runs the teacher once for the whole cohort,
`Cached` reads what it said before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from raykd.batches import Batch
from raykd.losses import valid
from raykd.outputs import Head, Outputs
from raykd.taps import Taps
from raykd.tasks.family import Family
from raykd.teacher_cache import OUTPUTS, Cache, Damaged, Span, column


@dataclass(frozen=True)
class Targets:
    """What students imitate: outputs at the loss positions, states at the valid tokens.

    States are numbered as in taps.py and are x_ND over the N valid tokens in row-major order.
    """

    outputs: Outputs
    states_ND: dict[int, Tensor]

    def each(self, change: Callable[[Tensor], Tensor]) -> Targets:
        states = {k: change(x) for k, x in self.states_ND.items()}
        return Targets(self.outputs.each(change), states)


Part = tuple[Batch, Targets | None]
"""A part of a worker's share of a global batch, with its targets; None where it has no rows."""


class TeacherSource(Protocol):
    """Called for each batch in two halves, so that a step never waits for a disk."""

    name: str
    """What a trial's record says of it: `live`, `cached float16`."""

    def ahead(self, batch: Batch) -> Targets | None:
        """What can be had before the step, in host memory; called on a thread of its own."""

    def __call__(self, batch: Batch, ahead: Targets | None) -> Targets:
        """The batch's targets, on the device."""


class Live:
    """The teacher itself: frozen, in eval mode, only the states that a map names are kept."""

    name = "live"

    def __init__(
        self, model: PreTrainedModel, states: Iterable[int], family: Family,
        autocast: AbstractContextManager[Any],
    ) -> None:  # fmt: skip
        self._family = family
        self._model = model.eval().requires_grad_(False)
        self._taps = Taps(model, sorted(set(states)))
        self._autocast = autocast

    def ahead(self, batch: Batch) -> None:
        """Nothing: the pass itself is the work, and the device is busy with the step."""

    @torch.no_grad()
    def __call__(self, batch: Batch, ahead: Targets | None = None) -> Targets:
        with self._autocast:
            outputs = self._family.forward(self._model, batch)
        states = {k: valid(x_BTD, batch.valid_in(k)) for k, x_BTD in self._taps.states.items()}
        self._taps.clear()
        return Targets(outputs, states)

    def close(self) -> None:
        """Take the hooks off the teacher."""
        self._taps.remove()


class Cached:
    """Reads stored outputs by example id. A damaged shard is written anew by `repair` and read
    again, so that no student ever imitates a wrong target."""

    def __init__(
        self, cache: Cache, states: Iterable[int], device: torch.device,
        repair: Callable[[str, Span], None], head: Head | None = None,
    ) -> None:  # fmt: skip
        self.name = f"cached {cache.entry.half}"
        self._cache = cache
        self._states = sorted(set(states))
        self._device = device
        self._repair = repair
        self._head = head

    def naming(self, states: Iterable[int]) -> Cached:
        """The same cache for a cohort that names these states; others are not read."""
        return Cached(self._cache, states, self._device, self._repair, self._head)

    def ahead(self, batch: Batch) -> Targets:
        outputs = Outputs(self._read(OUTPUTS, batch), self._head)
        found = Targets(outputs, {k: self._read(column(k), batch) for k in self._states})
        return found if self._device.type == "cpu" else found.each(lambda x: x.pin_memory())

    def _read(self, name: str, batch: Batch) -> Tensor:
        for _ in self._cache.spans:  # as many shards as there are may be damaged
            try:
                return self._cache.read(name, batch.ids)
            except Damaged as shard:
                self._repair(name, shard.span)
        return self._cache.read(name, batch.ids)

    def __call__(self, batch: Batch, ahead: Targets | None) -> Targets:
        assert ahead is not None
        return ahead.each(lambda x: x.to(self._device, torch.float32, non_blocking=True))
