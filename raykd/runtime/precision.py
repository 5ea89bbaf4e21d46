"""The arithmetic of training: whether autocast is faster on this machine, by a short benchmark that
is stored in the home, and whether products of fp32 matrices are computed in TF32."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from raykd.runtime.execution_settings import Precision
from raykd.runtime.memo import lookup, memoised

REPEATS = 10
PAYS = 1.2  # halves round more, so they must be clearly faster
WIDTH = 256  # smallest width: the time of a smaller block is dominated by noise

AMPERE = (8, 0)  # the first GPUs with TF32 and bf16

Half = Literal["bf16", "fp16"]
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


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


def has_bf16(device: torch.device) -> bool:
    """Return whether a GPU computes bf16 in hardware. torch emulates it, slowly, on those of
    NVIDIA's before Ampere (T4, V100)."""
    return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= AMPERE


def faster_precision(home: Path, device: torch.device, width: int) -> Precision:
    """Return the half precision of this device if autocast to it is clearly faster, else fp32. The
    half is bf16, and fp16 on a GPU without bf16 in hardware.

    A feed-forward block of `width` is timed forward and backward in both precisions, interleaved.
    The fastest run of each counts, which other processes disturb least. The answer is stored in
    `home`, so that two cohorts of a sweep never train in different precisions because of a
    disturbed measurement.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    key = f"{device.type} {name or platform.machine()} torch {torch.__version__} width {width}"
    half: Half = "bf16" if device.type != "cuda" or has_bf16(device) else "fp16"
    if lookup(home, ["bf16 pays", key]) is not None:
        half = "bf16"  # the answer of a build without fp16: the sweeps of this home keep it
    pays = memoised(home, [f"{half} pays", key], lambda: _probe(device, width, half))
    return half if pays else "fp32"


def _probe(device: torch.device, width: int, half: Half) -> bool:
    width = max(width, WIDTH)
    block = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
    block.to(device)
    x_ND = torch.ones(512, width, device=device)

    def run(enabled: bool) -> float:
        start = time.perf_counter()
        with torch.autocast(device.type, HALVES[half], enabled=enabled):
            loss = block(x_ND).float().square().mean()
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    for enabled in (False, True):
        run(enabled)
    times = [(run(False), run(True)) for _ in range(REPEATS)]
    in_fp32, in_half = (min(t) for t in zip(*times, strict=True))
    return bool(in_fp32 > PAYS * in_half)
