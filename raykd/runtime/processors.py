"""The processors that this process may use: those of its affinity, or the quota of its container if
that is less."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from raykd.runtime import cgroups
from raykd.runtime.cgroups import GROUPS, PROC, Version

FILES: dict[Version, str] = {1: "cpu.cfs_quota_us", 2: "cpu.max"}


def count(proc: Path = PROC, mount: Path = GROUPS) -> int:
    """Return the number of processors, at least 1. A part of one, of a quota of 2.5, is left out:
    one more thread would make the others wait."""
    return max(1, int(min([float(affinity()), *quotas(proc, mount)])))


def affinity() -> int:
    """Return the number of processors that the system's scheduler gives this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return psutil.cpu_count() or 1


def quotas(proc: Path = PROC, mount: Path = GROUPS) -> Iterator[float]:
    """Iterate over the quotas of this process's control groups, in processors."""
    for group, version in cgroups.groups("cpu", FILES, proc, mount):
        text = (group / FILES[version]).read_text()
        if version == 1:
            text += (group / "cpu.cfs_period_us").read_text()
        quota, period = text.split()
        if quota not in ("max", "-1"):
            yield int(quota) / int(period)
