"""How many test examples a task has, where its scores alone give it away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST = 10_000  # examples that are looked for
SEEN = 200  # different scores, at most, that are looked at
FLOAT32 = 1e-7  # relative: a score that was once stored in single precision
CHANCE = 1e-3  # that scores of any other kind would look so


def examples(scores: Sequence[float], written: float, scale: float | None) -> int | None:
    """The fewest examples of which every score can be a share, to the last decimal that is
    written (`written`: its size); None where scores are no such shares, or where as many arbitrary
    numbers would have been shares of so few examples by chance.

    150 test examples make accuracies of 80.6667 and 81.3333: two seeds whose differences are the
    same single example then have an SD of 0, however many decimals are written.
    """
    if scale is None:
        return None
    shares = np.unique(np.asarray(scores, dtype=float))[:SEEN] / scale
    shares = shares[(shares > 0) & (shares < 1)]  # these are shares of any number of examples
    if not len(shares):
        return None
    tolerance = max(written / scale, FLOAT32)
    counts = np.arange(1, MOST + 1)
    off = np.abs(shares[None] - np.round(shares[None] * counts[:, None]) / counts[:, None])
    fits = np.asarray((off <= tolerance * (1 + 1e-6)).all(axis=1))
    # Of the numbers with as many decimals, those that lie within the tolerance of a share.
    by_chance = np.minimum(1.0, (2 * tolerance + written / scale) * counts) ** len(shares)
    first = int(fits.argmax())
    if not fits[first] or by_chance[: first + 1].sum() > CHANCE:
        return None
    return int(counts[first])
