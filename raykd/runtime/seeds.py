"""Streams of random numbers, one for each use of randomness."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stream(seed: int, *names: object) -> int:
    """A seed of its own for each use of randomness: the same seed and names, the same stream."""
    digest = hashlib.sha256(repr((seed, names)).encode()).digest()
    return int.from_bytes(digest[:7], "big")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers from `seed` inside, the surrounding streams untouched.

    Drawn on the CPU. torch.manual_seed would reseed the GPUs too, and keeping their states would
    open a context on every GPU of the machine.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        yield
