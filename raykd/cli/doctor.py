"""Checks of this machine, and advice on what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from raykd.data.assets import packages
from raykd.errors import UserError

GIB = 2**30
MOST_OFFSET = 60.0  # seconds, as `raykd.tracking.snapshot` tolerates
SHARED = (
    "nfs",
    "cifs",
    "smb",
    "lustre",
    "gpfs",
    "ceph",
    "glusterfs",
    "beegfs",
    "fuse",
    "9p",
    "afs",
)
"""Beginnings of the names of file systems that several machines mount."""


@dataclass(frozen=True)
class Check:
    what: str
    ok: bool
    found: str
    advice: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def examine() -> tuple[Check, ...]:
    """Run every check, in order. No check starts a process or downloads anything."""
    checks: tuple[Callable[[], Check], ...] = (
        _python, _torch, _gpu, _bf16, _cpus, _memory, _ray, _store, _clock, _launches, _place,
        _assets, _disk, _home,
    )  # fmt: skip
    return tuple(check() for check in checks)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", sys.version_info >= (3, 11), version, "")


def _torch() -> Check:
    import torch

    return Check("torch", True, f"{torch.__version__}, {torch.get_num_threads()} threads")


def _gpu() -> Check:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Check("gpu", True, ", ".join(names))
    return Check("gpu", True, "none: training runs on the CPU")


def _bf16() -> Check:
    import torch

    from raykd.runtime.precision import has_bf16

    other = "fp32"
    if torch.cuda.is_available():
        supported, other = has_bf16(torch.device("cuda")), "fp16 or fp32"
    else:
        supported = torch.cpu._is_avx512_bf16_supported()
    support = "in hardware" if supported else f"not in hardware: training in {other}"
    return Check("bf16", True, support + "; a probe decides when a sweep says `precision: auto`")


def _cpus() -> Check:
    from raykd.runtime import processors

    quota = min(processors.quotas(), default=None)
    limit = "no quota" if quota is None else f"a quota of {quota:g}"
    used, allowed, all_ = processors.count(), processors.affinity(), os.cpu_count()
    return Check("cpus", True, f"{used} used: {allowed} of {all_} allowed, {limit}")


def _memory() -> Check:
    from raykd.runtime import memory

    available, total = memory.available(), memory.total()
    ok, machine = available > 3 * GIB, psutil.virtual_memory().total
    limit = f", the machine has {machine / GIB:.1f}" if total < machine else ""
    return Check(
        "memory", ok, f"{available / GIB:.1f} of {total / GIB:.1f} GiB free{limit}",
        "" if ok else "a small sweep needs about 3 GiB; close something",
    )  # fmt: skip


def _ray() -> Check:
    version = importlib.metadata.version("ray")
    running = os.environ.get("RAY_ADDRESS")
    where = f", RAY_ADDRESS={running}" if running else ", started by each sweep on this machine"
    return Check("ray", True, version + where)


def _store() -> Check:
    from raykd.tracking import store

    uri = store.resolve(None, Path.cwd())
    try:
        experiments = len(store.connect(uri).search_experiments())
    except UserError as error:
        return Check("mlflow store", False, store.safe(uri), str(error))
    return Check("mlflow store", True, f"{store.safe(uri)}, {experiments} experiments")


def _clock() -> Check:
    """The offset of this clock from the store's server, to the second that its answer states."""
    from raykd.tracking import store

    uri = store.resolve(None, Path.cwd())
    if not uri.startswith(("http://", "https://")):
        return Check("clock", True, "the store has no server whose clock could be asked")
    offset = store.clock_offset(uri)
    if offset is None:
        return Check("clock", True, "the store's server does not tell the time")
    ok = abs(offset) <= MOST_OFFSET
    return Check(
        "clock", ok, f"{offset:+.0f} s from the store's server's",
        "" if ok else "set it by a time server: times of trials of several machines disagree",
    )  # fmt: skip


def _launches() -> Check:
    """Who shares the store now: the launches that have not ended."""
    from raykd.tracking import store
    from raykd.tracking.launch import lives_now, unended

    uri = store.resolve(None, Path.cwd())
    try:
        client = store.connect(uri)
    except UserError:
        return Check("launches", True, "the store does not answer")
    names = {e.experiment_id: e.name for e in client.search_experiments()}
    words = {True: "runs", False: "is gone", None: "is elsewhere, its heartbeat decides"}
    said = [
        f"{names[run.info.experiment_id]}: process {run.data.tags.get('raykd.pid')} on "
        f"{run.data.tags.get('raykd.host')} {words[lives_now(run)]}"
        for run in (unended(client, list(names)) if names else ())
    ]
    return Check("launches", True, "; ".join(said) or "none in the store")


def _place() -> Check:
    """By what this machine's processes are known: launches of another one are judged by their
    heartbeat."""
    from raykd.runtime import process_id

    place = process_id.place()
    if not place["boot"]:
        return Check("name spaces", True, f"host {place['host']}; no namespaces here")
    own = place["pid_namespace"] == process_id.INITIAL
    kind = "the machine's own" if own else "a container's"
    said = f"host {place['host']}, boot {place['boot'][:8]}, {place['pid_namespace']} ({kind})"
    return Check("name spaces", True, said)


def _assets() -> Check:
    home = packages.home()
    installed = [n for n, a in packages.ASSETS.items()
            if (home / "assets" / f"{n}-{a.fingerprint}").is_dir()]  # fmt: skip
    missing = sorted(set(packages.ASSETS) - set(installed))
    summary = f"in {home}: {', '.join(installed) or 'none'}"
    return Check(
        "assets", True, summary + (f"; fetched when named: {', '.join(missing)}" if missing else "")
    )


def _home() -> Check:
    """Whether the home lies on a file system that other machines share, and whose it is."""
    existing = _existing(packages.home())
    mounts = [m for m in psutil.disk_partitions(all=True) if existing.is_relative_to(m.mountpoint)]
    mount = max(mounts, key=lambda m: len(m.mountpoint), default=None)
    kind = mount.fstype if mount else "an unknown file system"
    shared = "which machines share" if kind.startswith(SHARED) else "of this machine alone"
    facts = existing.stat()
    others = "its owner alone" if not facts.st_mode & 0o022 else "others too"
    said = f"{existing} on {kind}, {shared}; owned by {existing.owner()}, written by {others}"
    return Check("home", True, said)


def _existing(folder: Path) -> Path:
    return next(p for p in (folder.resolve(), *folder.resolve().parents) if p.exists())


def _disk() -> Check:
    existing = _existing(packages.home())
    free = shutil.disk_usage(existing).free / GIB
    ok = free > 5
    return Check(
        "disk", ok, f"{free:.0f} GiB free under {existing}",
        "" if ok else "set RAYKD_HOME to a larger disk",
    )  # fmt: skip
