"""Activations of a model, one vector for each token: states, and the queries, keys and values of
its blocks. Hooks, stores and batches treat all kinds alike. Plain Python, no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast

from raykd.maps.depth import Depth

ActivationKind = Literal["state", "query", "key", "value"]
Stack = Literal["encoder", "decoder"]
DECODER = "decoder_"


@dataclass(frozen=True, slots=True, order=True)
class Activation:
    """An activation of one block of a model.

    States are numbered as in the paper: block 0 is the embedding output of the stack, block k the
    output of its block k (1-based). Queries, keys and values are those inside block k. A model with
    one stack has only the stack `encoder`; of an encoder-decoder's decoder, only states are read.
    """

    kind: ActivationKind
    block: int
    stack: Stack = "encoder"

    def of_kind(self, kind: ActivationKind) -> Activation:
        """Another activation of the same block."""
        return replace(self, kind=kind)

    @property
    def inside(self) -> bool:
        """Whether the activation is inside its block: queries, keys or values."""
        return self.kind != "state"

    @property
    def number(self) -> str:
        """`4`, or `decoder_4` for one of the decoder; used in names of columns and metrics."""
        return f"{DECODER}{self.block}" if self.stack == "decoder" else str(self.block)

    @property
    def column(self) -> str:
        """Column of the activation in a store: `state-3`, `state-decoder_3`, `query-3`."""
        return f"{self.kind}-{self.number}"

    @classmethod
    def from_column(cls, column: str) -> Activation:
        """Inverse of `column`."""
        kind, number = column.rsplit("-", 1)
        stack: Stack = "decoder" if number.startswith(DECODER) else "encoder"
        return cls(cast(ActivationKind, kind), int(number.removeprefix(DECODER)), stack)


def state(block: int, stack: Stack = "encoder") -> Activation:
    """The output of a block, or for block 0 the embedding output."""
    return Activation("state", block, stack)


def states(depth: Depth) -> list[Activation]:
    """All states of a model with this depth, including the embedding outputs."""
    encoder = [state(block) for block in range(depth.encoder + 1)]
    if depth.decoder is None:
        return encoder
    return encoder + [state(block, "decoder") for block in range(depth.decoder + 1)]
