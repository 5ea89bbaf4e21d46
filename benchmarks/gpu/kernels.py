"""What a GPU does in some steps: for how long it computes, by the profiler, and where the host
waits for it, by torch's own warnings."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.section import wait

ROOT = str(Path(__file__).parents[2])
SYNCHRONISES = "synchronizing CUDA operation"


@dataclass
class Kernels:
    """Seconds in which at least one kernel ran (copies and fills are none), and how many did."""

    seconds: float = 0.0
    count: int = 0
    slowest: dict[str, float] = field(default_factory=dict)
    """The kernels that took longest, in seconds."""


@contextmanager
def profiled(device: torch.device) -> Iterator[Kernels]:
    """Fills in what ran on the GPU inside, at the end. To be wrapped around a few steps."""
    found = Kernels()
    wait(device)
    own = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU
    with profile(activities=[own]) as seen:
        yield found
        wait(device)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        seen.export_chrome_trace(str(file))
        events = json.loads(file.read_text(encoding="utf-8"))["traceEvents"]
    kernels = [e for e in events if e.get("cat") == "kernel"]
    found.count = len(kernels)
    found.seconds = covered((e["ts"], e["ts"] + e["dur"]) for e in kernels) / 1e6
    by_name: Counter[str] = Counter()
    for event in kernels:
        by_name[event["name"][:80]] += event["dur"]
    found.slowest = {name: us / 1e6 for name, us in by_name.most_common(5)}


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of spans: kernels of several streams may run at once."""
    total, end = 0.0, float("-inf")
    for first, last in sorted(spans):
        total += max(0.0, last - max(first, end))
        end = max(end, last)
    return total


@contextmanager
def waits(device: torch.device) -> Iterator[Counter[str]]:
    """Where the host waits for the GPU inside, `file:line`, and how often; filled in at the end.
    Main thread alone."""
    found: Counter[str] = Counter()
    if device.type != "cuda":
        yield found
        return
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for warning in seen:
        if SYNCHRONISES in str(warning.message):
            found[_place(warning)] += 1


def _place(warning: Any) -> str:
    """A path from a package or the repository on, without this machine's folders."""
    path = str(warning.filename)
    short = path.removeprefix(f"{ROOT}/").split("site-packages/")[-1].split("dist-packages/")[-1]
    return f"{short}:{warning.lineno}"
