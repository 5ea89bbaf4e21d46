"""Outputs of a model at the loss positions: logits, or the hidden states that the head maps to
logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Head:
    """Maps hidden states to logits: `z = scale * (W x + b)`, or `cap * tanh(z / cap)` if there is a
    cap (Gemma 2 has one; T5 scales if its embeddings are tied, Cohere and Granite always)."""

    weight_VD: Tensor
    bias_V: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None

    def __call__(self, x_PD: Tensor) -> Tensor:
        z_PV = F.linear(x_PD, self.weight_VD, self.bias_V)
        if self.scale != 1.0:
            z_PV = z_PV * self.scale
        return z_PV if self.cap is None else self.cap * (z_PV / self.cap).tanh()

    def detached(self) -> Head:
        return self._each(Tensor.detach)

    def cast(self, dtype: torch.dtype) -> Head:
        return self._each(lambda w: w.to(dtype))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Head:
        bias = None if self.bias_V is None else change(self.bias_V)
        return replace(self, weight_VD=change(self.weight_VD), bias_V=bias)


@dataclass(frozen=True)
class Outputs:
    """`x_PC` are logits, or with a `head` the hidden states x_PD that it maps to logits. The logits
    of a large vocabulary are never needed at all positions at once, and hidden states are small to
    store."""

    x_PC: Tensor
    head: Head | None = None

    def logits(self) -> Tensor:
        return self.x_PC if self.head is None else self.head(self.x_PC)

    def each(self, change: Callable[[Tensor], Tensor]) -> Outputs:
        """Applies `change` to `x_PC`. The head is unchanged and stays on its device."""
        return replace(self, x_PC=change(self.x_PC))
