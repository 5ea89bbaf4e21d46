"""The memory that this process may use: the machine's, or its container's where that is less; and
that of its GPUs."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

if TYPE_CHECKING:
    import torch

GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # Linux's of Nvidia, AMD and WSL


class Names(NamedTuple):
    """What the two versions of Linux's control groups call the same things."""

    limit: str
    used: str
    idle: str  # file pages that the kernel gives up at once, in memory.stat
    killed: tuple[str, str]  # a file, and in it the count of processes killed for memory


TWO = Names("memory.max", "memory.current", "inactive_file", ("memory.events", "oom_kill"))
ONE = Names(
    "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file",
    ("memory.oom_control", "oom_kill"),
)  # fmt: skip


def total(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes in all."""
    return min([psutil.virtual_memory().total, *(limit for limit, _ in _limits(proc, groups))])


def available(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that can be had now without anything being killed."""
    left = (max(0, limit - used) for limit, used in _limits(proc, groups))
    return min([psutil.virtual_memory().available, *left])


def gpus() -> list[int]:
    """Bytes of each of this machine's GPUs."""
    if sys.platform == "linux" and not any(map(os.path.exists, GPU_DEVICES)):
        return []  # to import torch for this answer takes a second
    import torch

    count = torch.cuda.device_count()
    return [torch.cuda.get_device_properties(i).total_memory for i in range(count)]


def kills(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """How many processes the kernel has killed in this container, so far, for want of memory."""
    return sum(_field(group / n.killed[0], n.killed[1]) for group, n in _groups(proc, groups))


def _limits(proc: Path, groups: Path) -> Iterator[tuple[int, int]]:
    """Limit and use in bytes of every group around this process that has a limit."""
    for group, names in _groups(proc, groups):
        limit = (group / names.limit).read_text().strip()
        if limit != "max":
            used = int((group / names.used).read_text())
            yield int(limit), used - _field(group / "memory.stat", names.idle)


def _groups(proc: Path, groups: Path) -> Iterator[tuple[Path, Names]]:
    """The group of this process and those around it. A container may see its own as the root."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            roots, names = [groups, groups / "unified"], TWO
        elif "memory" in controllers.split(","):
            roots, names = [groups / "memory"], ONE
        else:
            continue
        for root in roots:
            own = root / path.lstrip("/")
            for group in (own, *own.parents):
                if group.is_relative_to(root) and (group / names.limit).exists():
                    yield group, names


def _field(file: Path, name: str) -> int:
    """A line's number in a file of `name number` lines; 0 where there is none: not every sandbox
    that sets a limit has the files beside it."""
    if not file.exists():
        return 0
    found = dict(line.split() for line in file.read_text().splitlines())
    return int(found.get(name, 0))


def peak_mb(device: torch.device) -> float:
    """MiB that this process has held at most: of the GPU, else of its own memory."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
