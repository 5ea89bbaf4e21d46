"""The number of blocks of a model. Plain Python, no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Depth:
    """Number of blocks of a model with one stack; for an encoder-decoder, of its encoder and of its
    decoder."""

    encoder: int
    decoder: int | None = None

    @classmethod
    def of(cls, depth: Depth | int | tuple[int, int]) -> Depth:
        """`Depth(12)` of 12, `Depth(12, 6)` of (12, 6)."""
        if isinstance(depth, Depth):
            return depth
        return cls(depth) if isinstance(depth, int) else cls(*depth)

    @property
    def stacks(self) -> tuple[int, ...]:
        """Number of blocks of each stack."""
        return (self.encoder,) if self.decoder is None else (self.encoder, self.decoder)

    def __str__(self) -> str:
        """`12`, or `12+6` for two stacks."""
        return "+".join(map(str, self.stacks))
