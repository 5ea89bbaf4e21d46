"""Cluster 6: the smaller of affinity and quota counts, in both versions of control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raykd.runtime import processors
from raykd.sweep import resources

ALL = 64


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(ALL)), raising=False)


def machine(folder: Path, lines: str, files: dict[str, str]) -> tuple[Path, Path]:
    """(/proc, /sys/fs/cgroup) with these lines of /proc/self/cgroup and these files."""
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc" / "self" / "cgroup").write_text(lines)
    for name, text in files.items():
        place = folder / "groups" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text + "\n")
    return folder / "proc", folder / "groups"


def one(quota: int, period: int = 100_000, at: str = "") -> dict[str, str]:
    return {
        f"cpu,cpuacct{at}/cpu.cfs_quota_us": str(quota),
        f"cpu,cpuacct{at}/cpu.cfs_period_us": str(period),
    }


@pytest.mark.parametrize(
    ("lines", "files", "count"),
    [
        ("0::/\n", {"cpu.max": "100000 100000"}, 1),
        ("0::/\n", {"cpu.max": "max 100000"}, ALL),
        ("0::/\n", {"cpu.max": "250000 100000"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000"}, ALL),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "800000 100000", "a/cpu.max": "1600000 100000"}, 8),
        ("0::/docker/a1b2\n", {"cpu.max": "20000 10000"}, 2),
        ("0::/a\n", {"unified/a/cpu.max": "200000 100000"}, 2),
        ("4:memory:/\n3:cpu,cpuacct:/\n0::/\n", one(400_000), 4),
        ("3:cpu,cpuacct:/\n", one(-1), ALL),
        ("3:cpu,cpuacct:/a/b\n", one(50_000, 10_000, "/a/b") | one(200_000, at="/a"), 2),
        ("3:cpu,cpuacct:/docker/a1b2\n", one(100_000), 1),
        ("3:cpuset:/a\n", {"cpuset/a/cpu.max": "100000 100000"}, ALL),
        ("0::/\n", {}, ALL),
    ],
)  # fmt: skip
def test_the_smaller_of_affinity_and_quota(
    tmp_path: Path, lines: str, files: dict[str, str], count: int
) -> None:
    assert processors.count(*machine(tmp_path, lines, files)) == count


def test_a_system_without_control_groups(tmp_path: Path) -> None:
    assert processors.count(tmp_path, tmp_path) == ALL


def test_a_local_sweep_starts_ray_with_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "quotas", lambda *_: iter([1.0]))
    assert resources.this_machine().cpus == 1
