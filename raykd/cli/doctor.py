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

from raykd.data.assets import packages
from raykd.errors import UserError

GIB = 2**30


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
        _python, _torch, _gpu, _bf16, _memory, _ray, _store, _assets, _disk,
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

    if torch.cuda.is_available():
        supported = torch.cuda.is_bf16_supported()
    else:
        supported = torch.cpu._is_avx512_bf16_supported()
    support = "in hardware" if supported else "not in hardware: training in fp32"
    return Check("bf16", True, support + "; a probe decides when a sweep says `precision: auto`")


def _memory() -> Check:
    from raykd.runtime import memory

    available = memory.available()
    ok = available > 3 * GIB
    return Check(
        "memory", ok, f"{available / GIB:.1f} of {memory.total() / GIB:.1f} GiB free",
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


def _assets() -> Check:
    home = packages.home()
    installed = [n for n, a in packages.ASSETS.items()
            if (home / "assets" / f"{n}-{a.fingerprint}").is_dir()]  # fmt: skip
    missing = sorted(set(packages.ASSETS) - set(installed))
    summary = f"in {home}: {', '.join(installed) or 'none'}"
    return Check(
        "assets", True, summary + (f"; fetched when named: {', '.join(missing)}" if missing else "")
    )


def _disk() -> Check:
    home = packages.home()
    existing = next(p for p in (home, *home.parents) if p.exists())
    free = shutil.disk_usage(existing).free / GIB
    ok = free > 5
    return Check(
        "disk", ok, f"{free:.0f} GiB free under {existing}",
        "" if ok else "set RAYKD_HOME to a larger disk",
    )  # fmt: skip
