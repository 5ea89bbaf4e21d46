"""What a hidden loss of form `blocks` compares: the activations of both models over a shard.

Shapes: N valid tokens, B examples, T padded tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from raykd.maps.activations import Activation
from raykd.maps.layer_map import Pair

Terms = tuple[Tensor, ...]


@dataclass(frozen=True)
class Rows:
    """Indices of the valid tokens of a shard in its B x T places, and the counts of the global
    batch."""

    mask_BT: Tensor
    places_N: Tensor
    examples: int
    tokens: int

    @classmethod
    def of_lengths(cls, lengths_B: Tensor, examples: int, tokens: int) -> Rows:
        """Rows of these lengths, padded on the right."""
        T = int(lengths_B.max())
        mask_BT = torch.arange(T, device=lengths_B.device) < lengths_B[:, None]
        return cls(mask_BT, mask_BT.flatten().nonzero().squeeze(1), examples, tokens)

    @property
    def lengths_B(self) -> Tensor:
        return self.mask_BT.sum(1)

    def padded(self, x_ND: Tensor) -> Tensor:
        """x_BTD, zero at padding."""
        B, T = self.mask_BT.shape
        flat = x_ND.new_zeros(B * T, x_ND.shape[1]).index_copy(0, self.places_N, x_ND)
        return flat.view(B, T, -1)

    def mean(self, x_ND: Tensor) -> Tensor:
        """The mean over each example's valid tokens, x_BD."""
        return self.padded(x_ND).sum(1) / self.lengths_B[:, None]

    def first(self, x_ND: Tensor) -> Tensor:
        """Each example's first valid token, x_BD: [CLS] in BERT and similar models."""
        lengths_B = self.lengths_B
        return x_ND.index_select(0, lengths_B.cumsum(0) - lengths_B)


@dataclass(frozen=True)
class HiddenInputs:
    """Activations x_ND of both models over a shard, with student states in the width of the teacher
    if the loss projects them."""

    pairs: tuple[Pair, ...]
    student: Mapping[Activation, Tensor]
    teacher: Mapping[Activation, Tensor]
    rows: Rows
    heads: int
    """Attention heads of both models; MiniLMv2 uses its own number of heads."""
    weights: Mapping[str, Tensor]
    """Trained weights of the loss."""

    @property
    def blocks(self) -> tuple[Pair, ...]:
        """The pairs without those of embedding outputs."""
        return tuple((s, t) for s, t in self.pairs if s.block)

    @property
    def targets(self) -> dict[Activation, list[Activation]]:
        """Teacher states of each matched student block."""
        by_student: dict[Activation, list[Activation]] = {}
        for s, t in self.blocks:
            by_student.setdefault(s, []).append(t)
        return by_student

    def share(self, x_B: Tensor) -> Tensor:
        """The share of this shard in the mean over the examples of the global batch."""
        return x_B.sum() / self.rows.examples
