"""Whether bf16 autocast pays on this machine, found once by a short probe."""

from __future__ import annotations

import platform
import time
from pathlib import Path

import torch
from torch import nn

from raykd.runtime.memo import memoised

REPEATS = 10
PAYS = 1.2  # bf16 costs some accuracy of rounding, so it has to be clearly faster
WIDTH = 256  # at least: a smaller block is over before its time can be told from noise


def bf16_pays(home: Path, device: torch.device, width: int) -> bool:
    """Time a feed-forward block of `width` forward and backward in fp32 and bf16, interleaved;
    the quickest of each counts, which a busy machine disturbs least.

    The answer is kept in `home`, so that two cohorts of one sweep never train in different
    precisions because a noisy neighbour disturbed one probe.
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
