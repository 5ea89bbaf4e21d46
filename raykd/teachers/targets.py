"""Where a batch's teacher outputs come from: `Live` runs the teacher once for the whole cohort,
`Cached` reads what it said before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from raykd.data.batches import Batch, valid
from raykd.maps.activations import Activation
from raykd.models.capture import ActivationCapture
from raykd.models.outputs import Head, Outputs
from raykd.tasks.task import Task
from raykd.teachers.cache import OUTPUTS, Cache, Damaged, Span


@dataclass(frozen=True)
class Targets:
    """What students imitate: outputs at the loss positions, states at the valid tokens.

    States are numbered as in models/capture.py and are x_ND over the N valid tokens in row-major
    order.
    """

    outputs: Outputs
    states_ND: dict[Activation, Tensor]
    states_BTD: dict[Activation, Tensor] = field(default_factory=dict)
    """The same with their padding, where a hidden loss looks at that."""

    def each(self, change: Callable[[Tensor], Tensor]) -> Targets:
        states, padded = (
            {k: change(x) for k, x in found.items()} for found in (self.states_ND, self.states_BTD)
        )
        return Targets(self.outputs.each(change), states, padded)


Part = tuple[Batch, Targets | None]
"""A part of a worker's share of a global batch, with its targets; None where it has no rows."""


class TeacherSource(Protocol):
    """Called for each batch in two halves, so that a step never waits for a disk."""

    name: str
    """What a trial's record says of it: `live`, `cached float16`."""

    def prefetch(self, batch: Batch) -> Targets | None:
        """What can be had before the step, in host memory; called on a thread of its own."""

    def __call__(self, batch: Batch, ahead: Targets | None) -> Targets:
        """The batch's targets, on the device."""


class LiveTeacher:
    """The teacher itself: frozen, in eval mode, only the states that a map names are kept.

    `dropout`: its own is on during a pass, drawn from torch's stream as that then is; `padded`:
    states are also kept with their padding."""

    name = "live"

    def __init__(
        self, model: PreTrainedModel, states: Iterable[Activation], family: Task,
        autocast: AbstractContextManager[Any], dropout: bool = False, padded: bool = False,
    ) -> None:  # fmt: skip
        self._family = family
        self._dropout, self._padded = dropout, padded
        self._model = model.eval().requires_grad_(False)
        self._taps = ActivationCapture(model, sorted(set(states)))
        self._autocast = autocast

    def prefetch(self, batch: Batch) -> None:
        """Nothing: the pass itself is the work, and the device is busy with the step."""

    @torch.no_grad()
    def __call__(self, batch: Batch, ahead: Targets | None = None) -> Targets:
        if self._dropout:
            self._model.train()
        with self._autocast:
            outputs = self._family.forward(self._model, batch)
        if self._dropout:  # others look through this teacher too: controls, angles
            self._model.eval()
        padded = dict(self._taps.values)
        self._taps.clear()
        states = {k: valid(x_BTD, batch.valid_in(k.stack)) for k, x_BTD in padded.items()}
        return Targets(outputs, states, padded if self._padded else {})

    def close(self) -> None:
        """Take the hooks off the teacher."""
        self._taps.remove()


class CachedTeacher:
    """Reads stored outputs by example id. A damaged shard is written anew by `repair` and read
    again, so that no student ever imitates a wrong target."""

    def __init__(
        self, cache: Cache, states: Iterable[Activation], device: torch.device,
        repair: Callable[[str, Span], None], head: Head | None = None,
    ) -> None:  # fmt: skip
        self.name = f"cached {cache.entry.half}"
        self._cache = cache
        self._states = sorted(set(states))
        self._device = device
        self._repair = repair
        self._head = head

    def naming(self, states: Iterable[Activation]) -> CachedTeacher:
        """The same cache for a cohort that names these states; others are not read."""
        return CachedTeacher(self._cache, states, self._device, self._repair, self._head)

    def prefetch(self, batch: Batch) -> Targets:
        outputs = Outputs(self._read(OUTPUTS, batch), self._head)
        found = Targets(outputs, {k: self._read(k.column, batch) for k in self._states})
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
        # In two steps: in one, the host would widen the halves first, and copy twice the bytes from
        # memory that is not pinned, for which it waits.
        return ahead.each(lambda x: x.to(self._device, non_blocking=True).float())
