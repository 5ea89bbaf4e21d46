"""Strategies for encoder-decoders: a rule for the encoder's half of a map, and for the decoder's.

What works on one stack works on both; only how the halves go together is said here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from raykd.maps.activations import Depth
from raykd.maps.layer_map import LayerMap

Rule = Callable[[int, int, int], LayerMap]
"""A strategy with its options filled in: (teacher depth, student depth, seed) -> LayerMap."""

Tie = Literal["same", "mirrored"]
"""The decoder's half is the encoder's rule and draw again, as it is or read backwards."""


def apply(
    rule: Rule, teacher: Depth, student: Depth, seed: int, decoder: Rule | Tie | None = None
) -> LayerMap:
    """The map of a strategy for one stack or for both.

    `decoder` is the decoder's own rule; by default the encoder's. A rule that draws at random
    draws for each stack by itself (paper, section 3.1), unless the halves are tied.
    """
    if isinstance(teacher, int) or isinstance(student, int):
        assert isinstance(teacher, int) and isinstance(student, int)
        return rule(teacher, student, seed)
    encoder = rule(teacher[0], student[0], seed)
    if decoder == "same" or decoder == "mirrored":
        half = rule(teacher[1], student[1], seed)
        if decoder == "mirrored":
            half = replace(half, blocks=half.blocks[::-1], upto=half.upto and half.upto[::-1])
        return replace(encoder, decoder=half)
    own = decoder or rule
    return replace(encoder, decoder=own(teacher[1], student[1], decoder_seed(seed)))


def decoder_seed(seed: int) -> int:
    """The seed of a decoder's own draw, apart from the encoder's."""
    return int.from_bytes(hashlib.sha256(f"raykd decoder {seed}".encode()).digest()[:7], "big")
