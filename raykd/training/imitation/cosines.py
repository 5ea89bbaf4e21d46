"""Cosines between the gradients of a student block's parameters under losses to several targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from raykd.data.batches import valid
from raykd.losses.hidden.registry import hidden_loss
from raykd.losses.hidden.statistics import Statistics
from raykd.maps.activations import Activation
from raykd.models.capture import ActivationCapture, stacks
from raykd.models.projections import project
from raykd.training.imitation.probe import Student, measured_loss

if TYPE_CHECKING:
    from raykd.runtime.execution import Execution
    from raykd.tasks.task import Data

TokenBatch = tuple[np.ndarray, Tensor]
"""Rows of the select split, and the places of their tokens among those of all measured rows."""

Blocks = Mapping[Activation, tuple[Sequence[Activation], Sequence[Activation]]]
"""The own targets of each student state, and others to compare them with."""


class Agreement(NamedTuple):
    """Cosines of the gradient to the own target with that to another target, and with its null.

    `weight`: the length of the own gradient. Means over a training are weighted by it: a student
    that has reached its target is pushed nowhere, so its direction there counts for little.
    """

    cosine: float
    null: float
    weight: float


class GradientReader:
    """A student with hooks on the blocks that are compared; in eval mode while it is read."""

    def __init__(
        self, student: Student, blocks: Blocks, data: Data, where: Execution,
        statistics: Statistics | None,
    ) -> None:  # fmt: skip
        self._student, self._blocks, self._data, self._where = student, blocks, data, where
        loss, layer_map = student.trial.loss, student.trial.layer_map
        terms = zip(layer_map.pairs(), layer_map.pair_terms(), strict=True)
        self._weights = {pair: weight for pair, (weight, _) in terms}
        kind = measured_loss(loss.kind)
        self._loss = hidden_loss(kind).with_options(loss.options if kind == loss.kind else None)
        self._statistics = statistics if hidden_loss(kind).standardized else None

    def cosines(
        self,
        batches: Sequence[TokenBatch],
        targets: Mapping[Activation, tuple[Tensor, Tensor]],
    ) -> dict[str, Agreement]:
        """Return the cosines by pair. `batches`: this worker's rows. `targets`: the teacher's
        states at the tokens of all rows, and the same states in another order."""
        if not self._blocks:
            return {}
        model = self._student.model
        was_training = model.training
        model.eval()
        try:
            with ActivationCapture(model, self._blocks) as self._capture:
                return self._cosines(batches, targets)
        finally:
            model.train(was_training)

    def _cosines(
        self,
        batches: Sequence[TokenBatch],
        targets: Mapping[Activation, tuple[Tensor, Tensor]],
    ) -> dict[str, Agreement]:
        agreements: dict[str, Agreement] = {}
        stack = stacks(self._student.model)["encoder"]
        # The graph of a single batch serves all blocks. Else the memory for the gradients of one
        # block at a time is worth another pass.
        kept = self._forward(batches[0][0]) if len(batches) == 1 else None
        for s, (own, others) in self._blocks.items():
            parameters = [p for p in stack[s.block - 1].parameters() if p.requires_grad]
            if not parameters:
                continue
            sides = [[(t, targets[t][0], self._weights[s, t]) for t in own]]
            sides += [[(t, targets[t][shuffled], 1.0)] for t in others for shuffled in (0, 1)]
            sums = torch.zeros(len(sides), sum(p.numel() for p in parameters),
                               device=parameters[0].device)  # fmt: skip
            for rows, places in batches:
                states = kept if kept is not None else self._forward(rows)
                places = places.to(self._where.device)
                for total, side in zip(sums, sides, strict=True):
                    at_places = [(t, x[places], weight) for t, x, weight in side]
                    total += self._gradient(states[s], at_places, parameters)
            own_gradient, *rest = self._where.group.sum(sums).double()
            for t, real, null in zip(others, rest[::2], rest[1::2], strict=True):
                values = Agreement(
                    _cosine(own_gradient, real), _cosine(own_gradient, null),
                    float(own_gradient.norm()),
                )  # fmt: skip
                if np.isfinite(values).all() and values.weight:
                    agreements[f"{s.number}_to_{t.number}"] = values
        return agreements

    def _forward(self, rows: np.ndarray) -> dict[Activation, Tensor]:
        """Return the states at the valid tokens of these rows, in the teacher's width."""
        batch = self._data.family.collate(self._data.select, rows, self._data.pad)
        batch = batch.to(self._where.device)
        with torch.enable_grad():
            with self._where.autocast():
                self._data.family.forward(self._student.model, batch)
            states = {
                s: project(self._student.projections, s, valid(x_BTD, batch.valid)).float()
                for s, x_BTD in self._capture.values.items()
            }
        self._capture.clear()
        return states

    def _loss_to(self, target: Activation, state_ND: Tensor, target_ND: Tensor) -> Tensor:
        if self._statistics is not None:
            standardize = self._statistics[target].standardize
            state_ND, target_ND = standardize(state_ND), standardize(target_ND)
        loss: Tensor = self._loss(state_ND, target_ND, 1, 1)
        return loss

    def _gradient(
        self,
        state_ND: Tensor,
        targets: Sequence[tuple[Activation, Tensor, float]],
        parameters: Sequence[nn.Parameter],
    ) -> Tensor:
        """Return the gradient of the weighted loss to these targets, as a vector. Only its
        direction counts, so tokens are not divided by those of all workers."""
        with torch.enable_grad():
            losses = [
                weight * self._loss_to(t, state_ND, target_ND) for t, target_ND, weight in targets
            ]
            gradients = torch.autograd.grad(
                torch.stack(losses).sum(), parameters, retain_graph=True, allow_unused=True
            )
        return torch.cat(
            [
                (torch.zeros_like(p) if g is None else g).flatten().float()
                for p, g in zip(parameters, gradients, strict=True)
            ]
        )


def _cosine(a: Tensor, b: Tensor) -> float:
    """Return NaN if a gradient is zero or not finite."""
    return float(a @ b / (a.norm() * b.norm()))
