"""Where a batch's teacher outputs come from. `Live` runs the teacher once for the whole cohort."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from raykd.batches import Batch
from raykd.losses import valid
from raykd.taps import Taps
from raykd.tasks import classification as task


@dataclass(frozen=True)
class Targets:
    """What students imitate: logits at the loss positions, states at the valid tokens."""

    logits_PC: Tensor
    states_ND: dict[int, Tensor]


class TeacherSource(Protocol):
    def __call__(self, batch: Batch) -> Targets: ...


class Live:
    """The teacher itself: frozen, in eval mode, only the states that a map names are kept."""

    def __init__(
        self, model: PreTrainedModel, states: Iterable[int], autocast: AbstractContextManager[Any]
    ) -> None:
        self._model = model.eval().requires_grad_(False)
        self._taps = Taps(model, sorted(set(states)))
        self._autocast = autocast

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Targets:
        with self._autocast:
            logits_BC = task.forward(self._model, batch)
        mask_BT = batch.inputs["attention_mask"]
        states = {k: valid(x_BTD, mask_BT) for k, x_BTD in self._taps.states.items()}
        self._taps.clear()
        return Targets(logits_BC, states)

    def close(self) -> None:
        """Take the hooks off the teacher."""
        self._taps.remove()
