"""The kinds of hidden loss: what each reads of a model, and what it needs. Plain Python."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from raykd.maps.activations import KEY, QUERY, VALUE

HEAD_BY_HEAD = ("tinybert", "minilm", "bert_emd")
"""Kinds that compare attention head by head, so that student and teacher need as many."""

SUMMED = ("paper_bart", "paper_t5")
"""Kinds that are summed over the matched pairs; all others are averaged. The kinds that look at
padding are in losses/released.py."""

# What a hidden loss reads of each block it matches, where that is not its state alone.
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
"""Hidden losses that go with any map; the others need their own method's."""

WITH_EMBEDDINGS = ("paper", "paper_bart", "paper_t5")
"""Kinds that match the embedding outputs too, unless the file says otherwise."""

PADDED = ("paper_t5", "paper_qwen")
"""Kinds that look at padding too (released.py)."""

# Losses that only an encoder's states or attention can answer: a decoder's first token has seen
# nothing but itself, and its attention looks back alone.
OF_ENCODERS = frozenset({"pkd", "alp_kd", *INSIDE})


def read(kind: str, states: Iterable[int]) -> frozenset[int]:
    """The sites that a hidden loss of this kind reads in a model of which it matches these states.
    The embedding output has no queries, keys or values."""
    own = tuple(states)
    return frozenset(of + k for of in INSIDE.get(kind, (0,)) for k in own if k or not of)
