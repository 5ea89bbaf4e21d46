"""The memory of a container, as Linux tells it: files laid out as in both versions."""

from __future__ import annotations

import gc
from pathlib import Path

import psutil
import pytest
import torch

from raykd.runtime import memory

GIB = 2**30


def version_two(folder: Path, path: str, limit: str) -> tuple[Path, Path]:
    group = folder / "groups" / path.strip("/")
    group.mkdir(parents=True)
    (group / "memory.max").write_text(f"{limit}\n")
    (group / "memory.current").write_text(f"{3 * GIB}\n")
    (group / "memory.stat").write_text(f"anon {2 * GIB}\ninactive_file {GIB}\n")
    (group / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    return of(folder, f"0::{path}\n")


def version_one(folder: Path, path: str, limit: str) -> tuple[Path, Path]:
    group = folder / "groups" / "memory" / path.strip("/")
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (group / "memory.usage_in_bytes").write_text(f"{3 * GIB}\n")
    (group / "memory.stat").write_text(f"inactive_file 7\ntotal_inactive_file {GIB}\n")
    (group / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    return of(folder, f"5:cpu,cpuacct:/else\n4:hugetlb,memory:{path}\n0::/\n")


def of(folder: Path, groups: str) -> tuple[Path, Path]:
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc" / "self" / "cgroup").write_text(groups)
    return folder / "proc", folder / "groups"


@pytest.mark.parametrize("version", [version_one, version_two])
@pytest.mark.parametrize("path", ["/", "/jobs/7"])
def test_a_container_is_smaller_than_its_machine(tmp_path: Path, version, path: str) -> None:
    where = version(tmp_path, path, str(4 * GIB))
    assert memory.total(*where) == 4 * GIB
    # Two of its three GiB in use cannot be given up: those of files can.
    assert memory.available(*where) == min(2 * GIB, psutil.virtual_memory().available)
    assert memory.kills(*where) == 2


@pytest.mark.parametrize("version", [version_one, version_two])
def test_the_path_of_the_machine_may_be_unknown_in_the_container(tmp_path: Path, version) -> None:
    proc, groups = version(tmp_path, "/", str(4 * GIB))
    file = proc / "self" / "cgroup"
    file.write_text("4:memory:/docker/a1b2\n0::/docker/a1b2\n")
    assert memory.total(proc, groups) == 4 * GIB


def test_a_limit_may_stand_alone(tmp_path: Path) -> None:
    proc, groups = version_two(tmp_path, "/", str(4 * GIB))
    for name in ("memory.stat", "memory.events"):
        (groups / name).unlink()
    assert memory.available(proc, groups) == min(GIB, psutil.virtual_memory().available)
    assert memory.kills(proc, groups) == 0


def test_the_least_of_the_groups_around_it(tmp_path: Path) -> None:
    version_two(tmp_path / "outer", "/", str(2 * GIB))
    proc, groups = version_two(tmp_path, "/jobs/7", str(4 * GIB))
    for file in (tmp_path / "outer" / "groups").iterdir():
        file.rename(groups / file.name)
    assert memory.total(proc, groups) == 2 * GIB


def test_no_limit_is_the_machine(tmp_path: Path) -> None:
    for where in (
        version_two(tmp_path / "two", "/jobs", "max"),
        version_one(tmp_path / "one", "/jobs", str(2**63 - 4096)),
        (tmp_path / "nothing", tmp_path / "nothing"),
    ):
        assert memory.total(*where) == psutil.virtual_memory().total
    assert memory.kills(tmp_path / "nothing", tmp_path / "nothing") == 0


def test_memory_of_freed_tensors_is_returned_to_the_system() -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    tensors = [torch.ones(4096) for _ in range(20_000)]  # 16 KB each: from the heap, not mapped
    last = torch.ones(4096)  # above all others: the heap cannot shrink from its end
    held = process.memory_info().rss
    del tensors
    gc.collect()
    memory.release()
    assert process.memory_info().rss - before < (held - before) / 2
    assert last.sum() == 4096
