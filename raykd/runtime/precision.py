"""The arithmetic of training: whether bf16 autocast is faster on this machine, by a short benchmark
that is stored in the home, and whether products of fp32 matrices are computed in TF32."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from raykd.runtime.memo import memoised

REPEATS = 10
PAYS = 1.2  # bf16 rounds more, so it must be clearly faster
WIDTH = 256  # smallest width: the time of a smaller block is dominated by noise

AMPERE = (8, 0)  # the first GPUs with TF32


@contextmanager
def tf32() -> Iterator[None]:
    """Products of fp32 matrices in this process are computed in TF32 where a GPU has it; nothing
    changes on a CPU. Teachers and students are trained and evaluated alike."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def fp32_arithmetic(device: torch.device) -> str:
    """`tf32` if products of fp32 matrices are computed in TF32 on this device in this process, else
    `fp32`."""
    allowed = torch.get_float32_matmul_precision() != "highest"
    nvidia = device.type == "cuda" and torch.version.hip is None
    has_it = nvidia and torch.cuda.get_device_capability(device) >= AMPERE
    return "tf32" if allowed and has_it else "fp32"


def bf16_pays(home: Path, device: torch.device, width: int) -> bool:
    """Times a feed-forward block of `width` forward and backward in fp32 and bf16, interleaved, and
    compares the fastest run of each, which other processes disturb least.

    The answer is stored in `home`, so that two cohorts of a sweep never train in different
    precisions because of a disturbed measurement.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    key = f"{device.type} {name or platform.machine()} torch {torch.__version__} width {width}"
    return memoised(home, ["bf16 pays", key], lambda: _probe(device, width))


def _probe(device: torch.device, width: int) -> bool:
    width = max(width, WIDTH)
    block = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
    block.to(device)
    x_ND = torch.ones(512, width, device=device)

    def run(enabled: bool) -> float:
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
            loss = block(x_ND).float().square().mean()
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    for enabled in (False, True):
        run(enabled)
    times = [(run(False), run(True)) for _ in range(REPEATS)]
    fp32, bf16 = (min(t) for t in zip(*times, strict=True))
    return bool(fp32 > PAYS * bf16)
