"""Loss scaling of a student that trains under fp16 autocast.

The smallest gradient that fp16 holds is 6e-8. The loss is therefore multiplied by a scale before
the backward pass, and the gradients are divided by it afterwards (Micikevicius et al. 2018, arXiv
1710.03740, section 3.2). torch's GradScaler adapts the scale: gradients that are not finite skip
the step and halve it, 2,000 steps without such gradients double it.

Every student has a scaler of its own, so the overflows of one do not change another. The optimiser
skips a step on the device: the host does not learn of it until it asks for the skipped steps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class LossScaler:
    """A `torch.amp.GradScaler` for one optimiser, and the steps that it skipped."""

    def __init__(self, optimizer: torch.optim.Optimizer, steps: int, device: torch.device) -> None:
        """`optimizer`: a fused one. `steps`: number of steps of the training."""
        self._optimizer = optimizer
        self._scaler = torch.amp.GradScaler(device.type)
        self._one = torch.ones((), device=device)
        self._scaler.scale(self._one)  # creates its tensors, also where the first batch has no rows
        self._skipped_S = torch.zeros(steps, dtype=torch.bool, device=device)

    def scale(self, loss: Tensor) -> Tensor:
        return self._scaler.scale(loss)

    def unscale(self) -> None:
        """Divide the gradients by the scale, in place, before they are clipped."""
        self._scaler.unscale_(self._optimizer)

    def step(self, step: int) -> Tensor:
        """Take the optimiser's step number `step` (0-based), or skip it. Return whether it was
        skipped, a boolean scalar on the device."""
        before = self._scaler.scale(self._one)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        skipped = self._scaler.scale(self._one) < before
        self._skipped_S[step] = skipped
        return skipped

    def skipped_steps(self) -> list[int]:
        """Return the numbers of the skipped steps (0-based). The host waits for the device."""
        steps: list[int] = self._skipped_S.nonzero().flatten().tolist()
        return steps

    def state(self) -> dict[str, Any]:
        return {"scaler": self._scaler.state_dict(), "skipped": self.skipped_steps()}

    def load(self, state: dict[str, Any]) -> None:
        self._scaler.load_state_dict(state["scaler"])
        self._skipped_S.zero_()
        self._skipped_S[state["skipped"]] = True
