"""Kinds of hidden loss: the activations that each reads, and its requirements. Plain Python."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from raykd.maps.activations import KEY, QUERY, VALUE

HEAD_BY_HEAD = ("tinybert", "minilm", "bert_emd")
"""Kinds that compare attention head by head; student and teacher need the same number of heads."""

SUMMED = ("paper_bart", "paper_t5")
"""Kinds that are summed over the matched pairs; all others are averaged. Kinds that include padding
are in losses/released.py."""

# Activations that a hidden loss reads in each matched block, for kinds that read not only states.
INSIDE = {
    "tinybert": (0, QUERY, KEY),
    "bert_emd": (0, QUERY, KEY),
    "minilm": (QUERY, KEY, VALUE),
    "minilm_v2": (QUERY, KEY, VALUE),
}

LossKind = Literal[
    "mse", "normalized_mse", "cosine", "paper", "paper_bart", "paper_t5", "paper_qwen",
    "pkd", "tinybert", "minilm", "minilm_v2",
]  # fmt: skip
"""Hidden losses that work with any map; the others require the map of their method."""

WITH_EMBEDDINGS = ("paper", "paper_bart", "paper_t5")
"""Kinds that match the embedding outputs too, unless the sweep file states otherwise."""

PADDED = ("paper_t5", "paper_qwen")
"""Kinds that include padding (released.py)."""

# Losses that need the states or attention of an encoder: the first token of a decoder attends only
# to itself, and its attention is causal.
OF_ENCODERS = frozenset({"pkd", "alp_kd", *INSIDE})


def read(kind: str, states: Iterable[int]) -> frozenset[int]:
    """Activations that a hidden loss of this kind reads in a model whose matched states are
    `states`. The embedding output has no queries, keys or values."""
    matched = tuple(states)
    return frozenset(
        offset + state
        for offset in INSIDE.get(kind, (0,))
        for state in matched
        if state or not offset
    )
