"""Independent random streams, one for each use of randomness."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stream(seed: int, *names: object) -> int:
    """A seed for one use of randomness: the same seed and names give the same stream."""
    digest = hashlib.sha256(repr((seed, names)).encode()).digest()
    return int.from_bytes(digest[:7], "big")


def reseed(seed: int) -> None:
    """Seeds random numbers from here on, as torch.manual_seed does. Without an accelerator that
    function formats the caller's stack for each kind of absent device, up to a millisecond a step.
    """
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds random numbers with `seed` inside the context; the surrounding streams do not change.

    Numbers are drawn on the CPU. torch.manual_seed would reseed the GPUs too, and saving their
    states would open a context on every GPU of the machine.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        yield
