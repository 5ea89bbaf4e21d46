"""Sources of a batch's teacher outputs: `LiveTeacher` runs the teacher once for the whole cohort,
`CachedTeacher` reads stored outputs."""

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
    """The targets of a batch: outputs at the loss positions, states at the valid tokens.

    States are numbered as in models/capture.py and are x_ND over the N valid tokens in row-major
    order.
    """

    outputs: Outputs
    states_ND: dict[Activation, Tensor]
    states_BTD: dict[Activation, Tensor] = field(default_factory=dict)
    """The states with padding, if a hidden loss reads it; else empty."""

    def each(self, change: Callable[[Tensor], Tensor]) -> Targets:
        states_ND, states_BTD = (
            {k: change(x) for k, x in by_state.items()}
            for by_state in (self.states_ND, self.states_BTD)
        )
        return Targets(self.outputs.each(change), states_ND, states_BTD)


Part = tuple[Batch, Targets | None]
"""A micro batch of a worker's share of a global batch, and its targets, None if it has no rows."""


class TeacherSource(Protocol):
    """Called twice per batch, for prefetch and use, so that a step never waits for a disk."""

    name: str
    """The name in a trial's record: `live`, `cached float16`."""

    def prefetch(self, batch: Batch) -> Targets | None:
        """Return what can be loaded before the step, in host memory; called on another thread."""

    def __call__(self, batch: Batch, ahead: Targets | None) -> Targets:
        """Return the batch's targets, on the device."""


class LiveTeacher:
    """Runs the teacher, frozen and in eval mode, and captures only the states that a map names.

    `dropout`: the teacher's own dropout is on during a pass, and draws from torch's global stream;
    `padded`: states are also returned with their padding."""

    name = "live"

    def __init__(
        self, model: PreTrainedModel, states: Iterable[Activation], family: Task,
        autocast: AbstractContextManager[Any], dropout: bool = False, padded: bool = False,
    ) -> None:  # fmt: skip
        self._family = family
        self._dropout, self._padded = dropout, padded
        self._model = model.eval().requires_grad_(False)
        self._capture = ActivationCapture(model, sorted(set(states)))
        self._autocast = autocast

    def prefetch(self, batch: Batch) -> None:
        """Return nothing: the pass runs on the device, which is busy with the previous step."""

    @torch.no_grad()
    def __call__(self, batch: Batch, ahead: Targets | None = None) -> Targets:
        if self._dropout:
            self._model.train()
        with self._autocast:
            outputs = self._family.forward(self._model, batch)
        if self._dropout:  # controls and the angle probe use the same model
            self._model.eval()
        states_BTD = dict(self._capture.values)
        self._capture.clear()
        states_ND = {k: valid(x_BTD, batch.valid_in(k.stack)) for k, x_BTD in states_BTD.items()}
        return Targets(outputs, states_ND, states_BTD if self._padded else {})

    def close(self) -> None:
        """Remove the hooks from the teacher."""
        self._capture.remove()


class CachedTeacher:
    """Reads stored outputs by example id. A damaged shard is rewritten by `repair` and read again,
    so students never train on wrong targets."""

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
        """Return a source on the same cache that reads only these states."""
        return CachedTeacher(self._cache, states, self._device, self._repair, self._head)

    def prefetch(self, batch: Batch) -> Targets:
        outputs = Outputs(self._read(OUTPUTS, batch), self._head)
        targets = Targets(outputs, {k: self._read(k.column, batch) for k in self._states})
        return targets if self._device.type == "cpu" else targets.each(lambda x: x.pin_memory())

    def _read(self, name: str, batch: Batch) -> Tensor:
        for _ in self._cache.spans:  # every shard may be damaged
            try:
                return self._cache.read(name, batch.ids)
            except Damaged as damage:
                self._repair(name, damage.span)
        return self._cache.read(name, batch.ids)

    def __call__(self, batch: Batch, ahead: Targets | None) -> Targets:
        assert ahead is not None
        # Two steps: a single `to` would convert to fp32 on the host first, and then copy twice the
        # bytes from unpinned memory, which blocks.
        return ahead.each(lambda x: x.to(self._device, non_blocking=True).float())
