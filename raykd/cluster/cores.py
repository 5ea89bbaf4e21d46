"""Decides by a short benchmark, run once, whether a machine without a GPU trains faster with one
job on all cores or with two jobs on half of the cores each."""

from __future__ import annotations

import logging
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raykd.runtime.memo import memoised

logger = logging.getLogger(__name__)

ROUNDS = 3
STEPS = 4
PAYS = 1.05  # two jobs need twice the memory, so they must be clearly faster


def jobs_at_once(home: Path, cores: int, width: int) -> int:
    """Return 1 or 2. The answer is stored in `home`, so that a resumed sweep keeps the same split:
    the number of threads affects the last digits of a result."""
    if cores < 2:
        return 1

    def probe() -> int:
        logger.info("timing one worker against two, once for this machine")
        return 2 if two_pay(*measure(cores, width)) else 1

    return memoised(home, ["jobs at once", platform.machine(), cores, width], probe)


def two_pay(whole: float, halves: float) -> bool:
    """Return whether two jobs pay. `whole`: seconds of a job on all cores; `halves`: seconds of two
    parallel jobs on half of the cores each."""
    return 2 * whole > PAYS * halves


def measure(cores: int, width: int) -> tuple[float, float]:
    """Return the seconds of the same training steps with one process on all cores, and with two
    parallel processes on half of the cores each. Each is the minimum of a few alternating rounds;
    the first round, which allocates memory and starts threads, is left out.

    Importing torch takes longer than the steps, so two processes take all turns: the one that
    trains on all cores is also one of the halves.
    """
    with steppers(width) as processes:
        turns = [
            (turn(processes[:1], cores), turn(processes, cores // 2)) for _ in range(1 + ROUNDS)
        ][1:]
    return min(t for t, _ in turns), min(t for _, t in turns)


@contextmanager
def steppers(width: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Start two processes that train when `turn` asks them to. They end with the block."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(width)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    try:
        for process in processes:
            _answer(process)
        yield processes
    finally:
        for process in processes:
            process.communicate()  # closes its input, which ends it


def turn(processes: list[subprocess.Popen[str]], threads: int) -> float:
    """Return the seconds that the processes take for their steps, in parallel, on so many threads
    each."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{threads}\n")
        process.stdin.flush()
    return max(_answer(p) for p in processes)


def _answer(process: subprocess.Popen[str]) -> float:
    assert process.stdout is not None
    return float(process.stdout.readline())


def _train(width: int) -> None:
    """For each line of input, a number of threads, print the seconds of a few training steps of
    three blocks. The first line that is printed says that torch is imported."""
    import torch
    from torch import nn

    heads = max(h for h in (12, 8, 4, 2, 1) if width % h == 0)
    block = nn.TransformerEncoderLayer(width, heads, 4 * width, batch_first=True)
    blocks = nn.TransformerEncoder(block, 3, enable_nested_tensor=False)
    optimizer = torch.optim.AdamW(blocks.parameters(), fused=True)
    x_BTD = torch.randn(32, 27, width)

    def steps() -> float:
        began = time.perf_counter()
        for _ in range(STEPS):
            optimizer.zero_grad(set_to_none=True)
            blocks(x_BTD).square().mean().backward()
            optimizer.step()
        return time.perf_counter() - began

    optimizer.zero_grad()  # its first call imports torch's compiler
    print(0.0, flush=True)
    for line in sys.stdin:
        torch.set_num_threads(int(line))
        print(steps(), flush=True)


if __name__ == "__main__":
    _train(int(sys.argv[1]))
