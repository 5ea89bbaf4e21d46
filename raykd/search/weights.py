"""Weights of pairs that explore searches: numbers of two digits between two limits.

Two digits tell weights apart as far as a search can, make the space finite, and keep maps readable.
"""

from __future__ import annotations

import math
from functools import cache
from random import Random


def rounded(weight: float, low: float, high: float) -> float:
    """Return the nearest number of two digits; the limits are rounded inwards."""
    grid = two_digits(low, high)
    return min(grid, key=lambda value: abs(math.log(value / weight)))


def draw_weight(low: float, high: float, rng: Random) -> float:
    """Draw a weight whose logarithm is uniform."""
    return rounded(math.exp(rng.uniform(math.log(low), math.log(high))), low, high)


@cache
def two_digits(low: float, high: float) -> tuple[float, ...]:
    """Return the numbers of two digits from `low` to `high`, in rising order.

    Raises ValueError if there is none.
    """
    exponents = range(math.floor(math.log10(low)) - 1, math.floor(math.log10(high)) + 1)
    numbers = (float(f"{digits}e{e}") for e in exponents for digits in range(10, 100))
    if not (grid := tuple(sorted({x for x in numbers if low <= x <= high}))):
        raise ValueError(f"there is no number of two digits from {low:g} to {high:g}")
    return grid
