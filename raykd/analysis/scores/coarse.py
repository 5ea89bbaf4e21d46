"""Infer the number of test examples of a task from its scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST = 10_000  # largest number of examples that is tried
SEEN = 200  # maximum number of distinct scores that are used
FLOAT32 = 1e-7  # relative precision of a score stored in single precision
CHANCE = 1e-3  # maximum probability that arbitrary scores fit


def examples(scores: Sequence[float], written: float, scale: float | None) -> int | None:
    """Return the smallest number of examples of which every score can be a share, up to the last
    decimal (`written`: its size). None if the scores are not such shares, or if as many arbitrary
    numbers would fit so few examples by chance.

    With 150 test examples, accuracies are 80.6667 or 81.3333. Two seeds whose differences are the
    same single example then have an SD of 0, however many decimals are written.
    """
    if scale is None:
        return None
    shares = np.unique(np.asarray(scores, dtype=float))[:SEEN] / scale
    shares = shares[(shares > 0) & (shares < 1)]  # 0 and 1 are shares of any number of examples
    if not len(shares):
        return None
    tolerance = max(written / scale, FLOAT32)
    counts = np.arange(1, MOST + 1)
    off = np.abs(shares[None] - np.round(shares[None] * counts[:, None]) / counts[:, None])
    fits = np.asarray((off <= tolerance * (1 + 1e-6)).all(axis=1))
    # Probability that an arbitrary number with as many decimals lies within the tolerance.
    by_chance = np.minimum(1.0, (2 * tolerance + written / scale) * counts) ** len(shares)
    first = int(fits.argmax())
    if not fits[first] or by_chance[: first + 1].sum() > CHANCE:
        return None
    return int(counts[first])
