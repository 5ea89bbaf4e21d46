"""What is read inside a model, by number: states, and the queries, keys and values of its blocks.

State k is k (models/capture.py): 0 is the embedding output, k the output of block k, ~k that of an
encoder-decoder's decoder, of which states alone are read. The query vectors of block k are
QUERY + k, and so on. All are one vector a token, so hooks, stores and batches treat them alike.
Plain Python, no torch.
"""

from __future__ import annotations

from raykd.maps.layer_map import Depth, decoder_state

SPAN = 10_000  # more than any model has blocks
QUERY, KEY, VALUE = SPAN, 2 * SPAN, 3 * SPAN
NAMES = {0: "state", QUERY: "query", KEY: "key", VALUE: "value"}


def state_name(state: int) -> str:
    """`4`, or `decoder_4` for the state of a decoder: as names of columns and metrics."""
    return str(state) if state >= 0 else f"decoder_{decoder_state(state)}"


def state_number(name: str) -> int:
    """The state that `state_name` gave this name."""
    place = int(name.removeprefix("decoder_"))
    return decoder_state(place) if name.startswith("decoder_") else place


def states(depth: Depth) -> list[int]:
    """All states of a model so deep, embedding outputs among them."""
    if isinstance(depth, int):
        return list(range(depth + 1))
    encoder, decoder = depth
    return [*range(encoder + 1), *map(decoder_state, range(decoder + 1))]


def split(site: int) -> tuple[int, int]:
    """(0, QUERY, KEY or VALUE; number of the state or block)."""
    block = site % SPAN
    return site - block, block


def inside(site: int) -> bool:
    """Whether it lies within a block: queries, keys or values."""
    return site >= SPAN


def name(site: int) -> str:
    """`state-3`, `state-decoder_3`, `query-3`: the column it has in a store."""
    if not inside(site):
        return f"state-{state_name(site)}"
    of, block = split(site)
    return f"{NAMES[of]}-{block}"


def number(column: str) -> int:
    """The site that `name` names so."""
    of, block = column.rsplit("-", 1)
    return next(k for k, n in NAMES.items() if n == of) + state_number(block)
