"""What is read inside a model, by number: states, and the queries, keys and values of its blocks.

State k is k, as in taps.py: 0 is the embedding output, k the output of block k. The query vectors
of block k are QUERY + k, and so on. All are one vector a token, so hooks, stores and batches treat
them alike. Plain Python, no torch.
"""

from __future__ import annotations

from collections.abc import Iterable

SPAN = 10_000  # more than any model has blocks
QUERY, KEY, VALUE = SPAN, 2 * SPAN, 3 * SPAN
NAMES = {0: "state", QUERY: "query", KEY: "key", VALUE: "value"}

# What a hidden loss reads of each block it matches, where that is not its state alone.
INSIDE = {
    "tinybert": (0, QUERY, KEY),
    "bert_emd": (0, QUERY, KEY),
    "minilm": (QUERY, KEY, VALUE),
    "minilm_v2": (QUERY, KEY, VALUE),
}

# Losses that only an encoder's states or attention can answer: a decoder's first token has seen
# nothing but itself, and its attention looks back alone.
OF_ENCODERS = frozenset({"pkd", "alp_kd", *INSIDE})


def read(kind: str, states: Iterable[int]) -> frozenset[int]:
    """The sites that a hidden loss of this kind reads in a model of which it matches these states.
    The embedding output has no queries, keys or values."""
    own = tuple(states)
    return frozenset(of + k for of in INSIDE.get(kind, (0,)) for k in own if k or not of)


def split(site: int) -> tuple[int, int]:
    """(0, QUERY, KEY or VALUE; number of the state or block)."""
    block = site % SPAN
    return site - block, block


def inside(site: int) -> bool:
    """Whether it lies within a block: queries, keys or values."""
    return site >= SPAN


def name(site: int) -> str:
    """`state-3`, `query-3`: the column it has in a store."""
    of, block = split(site)
    return f"{NAMES[of]}-{block}"


def number(column: str) -> int:
    """The site that `name` names so."""
    of, block = column.rsplit("-", 1)
    return next(k for k, n in NAMES.items() if n == of) + int(block)
