"""Activations of a model by number: states, and the queries, keys and values of its blocks.

State k has the number k (models/capture.py): 0 is the embedding output, k the output of block k,
and ~k state k of the decoder of an encoder-decoder, of which only states are read. The query
vectors of block k have the number QUERY + k, and so on. Every activation is one vector for each
token, so hooks, stores and batches treat all kinds alike. Plain Python, no torch.
"""

from __future__ import annotations

from raykd.maps.layer_map import Depth, decoder_state

SPAN = 10_000  # above the number of blocks of any model
QUERY, KEY, VALUE = SPAN, 2 * SPAN, 3 * SPAN
NAMES = {0: "state", QUERY: "query", KEY: "key", VALUE: "value"}


def state_name(state: int) -> str:
    """`4`, or `decoder_4` for a state of the decoder; used in names of columns and metrics."""
    return str(state) if state >= 0 else f"decoder_{decoder_state(state)}"


def state_number(name: str) -> int:
    """Inverse of `state_name`."""
    state = int(name.removeprefix("decoder_"))
    return decoder_state(state) if name.startswith("decoder_") else state


def states(depth: Depth) -> list[int]:
    """All states of a model with this depth, including the embedding outputs."""
    if isinstance(depth, int):
        return list(range(depth + 1))
    encoder, decoder = depth
    return [*range(encoder + 1), *map(decoder_state, range(decoder + 1))]


def split(site: int) -> tuple[int, int]:
    """(kind: 0, QUERY, KEY or VALUE; number of the state or block)."""
    block = site % SPAN
    return site - block, block


def inside(site: int) -> bool:
    """Whether the activation is inside a block: queries, keys or values."""
    return site >= SPAN


def name(site: int) -> str:
    """Column of the activation in a store: `state-3`, `state-decoder_3`, `query-3`."""
    if not inside(site):
        return f"state-{state_name(site)}"
    kind, block = split(site)
    return f"{NAMES[kind]}-{block}"


def number(column: str) -> int:
    """Inverse of `name`."""
    kind, block = column.rsplit("-", 1)
    return next(offset for offset, n in NAMES.items() if n == kind) + state_number(block)
