"""What a model says at the loss positions: logits, or the hidden states its logits are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Head:
    """Makes logits of hidden states: `cap * tanh(z / cap)` with `z = scale * (W x + b)`, and just
    `z` where there is no cap (Gemma 2 has one; T5 scales where its embeddings are tied)."""

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
    """`x_PC` are logits; under a `head`, x_PD, of which it makes them. A large vocabulary's logits
    at every position are never needed at once, and its hidden states are small to store."""

    x_PC: Tensor
    head: Head | None = None

    def logits(self) -> Tensor:
        return self.x_PC if self.head is None else self.head(self.x_PC)

    def each(self, change: Callable[[Tensor], Tensor]) -> Outputs:
        """Another `x_PC` under the same head, which stays where the model is."""
        return replace(self, x_PC=change(self.x_PC))
