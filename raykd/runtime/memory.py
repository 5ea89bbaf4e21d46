"""The memory available to this process: that of the machine, or of its container if that is less;
and the memory of its GPUs."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

from raykd.runtime import cgroups

if TYPE_CHECKING:
    import torch

GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # on Linux: Nvidia, AMD and WSL


class Names(NamedTuple):
    """File and field names of one version of the control groups of Linux."""

    limit: str
    used: str
    idle: str  # file pages that the kernel can reclaim at once, in memory.stat
    killed: tuple[str, str]  # file and field of the number of processes killed for memory


TWO = Names("memory.max", "memory.current", "inactive_file", ("memory.events", "oom_kill"))
ONE = Names(
    "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file",
    ("memory.oom_control", "oom_kill"),
)  # fmt: skip


def total(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Total bytes."""
    return min([psutil.virtual_memory().total, *(limit for limit, _ in _limits(proc, groups))])


def available(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that can be allocated now without a process being killed."""
    remaining = (max(0, limit - used) for limit, used in _limits(proc, groups))
    return min([psutil.virtual_memory().available, *remaining])


def gpus() -> list[int]:
    """Bytes of memory of each GPU of this machine."""
    if sys.platform == "linux" and not any(map(os.path.exists, GPU_DEVICES)):
        return []  # avoids the import of torch, which takes a second
    import torch

    count = torch.cuda.device_count()
    return [torch.cuda.get_device_properties(i).total_memory for i in range(count)]


def release() -> None:
    """Return the memory of freed tensors to the system. The C library of Linux keeps it for the
    process: after a fine-tuning that is gigabytes, which the training workers need."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


def kills(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Number of processes that the kernel has killed in this container for lack of memory."""
    return sum(_field(group / n.killed[0], n.killed[1]) for group, n in _groups(proc, groups))


def _limits(proc: Path, groups: Path) -> Iterator[tuple[int, int]]:
    """Limit and usage in bytes of every control group of this process that has a limit."""
    for group, names in _groups(proc, groups):
        limit = (group / names.limit).read_text().strip()
        if limit != "max":
            used = int((group / names.used).read_text())
            yield int(limit), used - _field(group / "memory.stat", names.idle)


def _groups(proc: Path, groups: Path) -> Iterator[tuple[Path, Names]]:
    """The control group of this process and its ancestors."""
    files: dict[cgroups.Version, str] = {1: ONE.limit, 2: TWO.limit}
    for group, version in cgroups.groups("memory", files, proc, groups):
        yield group, ONE if version == 1 else TWO


def _field(file: Path, name: str) -> int:
    """The number on a line of a file of `name number` lines; 0 if the file does not exist: some
    sandboxes set a limit without the other files."""
    if not file.exists():
        return 0
    fields = dict(line.split() for line in file.read_text().splitlines())
    return int(fields.get(name, 0))


def peak_mb(device: torch.device) -> float:
    """Peak memory of this process in MiB: on the GPU if it uses one, else in RAM."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
