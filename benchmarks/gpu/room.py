"""Memory: what a device holds in training, and a limit on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from benchmarks.gpu.section import release
from raykd.planning.memory.dry_run import Storages


class Peak:
    """The most bytes of tensors that are alive at a time inside it, beyond those from before. On a
    GPU its allocator says, also of what operators need inside themselves; on a CPU operators'
    results are counted."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.bytes, self.reserved = device, 0, 0
        self._counter: Any = None
        self._before = 0

    def __enter__(self) -> Peak:
        release(self.device)
        if self.device.type == "cuda":
            self._before = torch.cuda.memory_allocated(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            self._counter = Storages()
            self._counter.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device) - self._before
            self.reserved = torch.cuda.max_memory_reserved(self.device)
        else:
            self._counter.__exit__(*error)
            self.bytes = self._counter.peak


@contextmanager
def at_most(device: torch.device, reserved: int) -> Iterator[None]:
    """This process may reserve so many bytes of the GPU."""
    release(device)
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, reserved / total), device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


@contextmanager
def refusing(more_than: int) -> Iterator[None]:
    """As if a device had no room for a batch of more rows than this: an embedding that is asked
    for one raises torch.OutOfMemoryError. For a CPU, which has no limit that it would tell of."""

    def check(module: nn.Module, args: Any) -> None:
        if isinstance(module, nn.Embedding) and args[0].ndim == 2 and len(args[0]) > more_than:
            raise torch.OutOfMemoryError(f"no room for {len(args[0])} rows")

    hook = nn.modules.module.register_module_forward_pre_hook(check)
    try:
        yield
    finally:
        hook.remove()


def short(device: torch.device, rows: int, peaks: tuple[int, int]) -> AbstractContextManager[None]:
    """A device that has room for `rows` and not for twice as many: by what both reserved."""
    if device.type != "cuda":
        return refusing(rows)
    return at_most(device, sum(peaks) // 2)


def reserved(device: torch.device, work: Callable[[], Any]) -> tuple[Any, int]:
    """What some work answers, and what was reserved for it at most."""
    with Peak(device) if device.type == "cuda" else nullcontext(Peak(device)) as peak:
        answer = work()
    return answer, peak.reserved
