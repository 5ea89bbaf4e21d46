"""Whether a machine without a GPU trains more with one job on all its cores or with two on half
of them each, found once by a short probe."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raykd.runtime.memo import memoised

ROUNDS = 3
STEPS = 4
PAYS = 1.05  # two jobs need twice the memory, so they have to be clearly faster


def jobs_at_once(home: Path, cores: int, width: int) -> int:
    """1 or 2. The answer is kept in `home`: a sweep that is gone on with is not split otherwise,
    and the number of threads shows in the last digits of a result."""
    if cores < 2:
        return 1
    question = ["jobs at once", platform.machine(), cores, width]
    return memoised(home, question, lambda: 2 if two_pay(*measure(cores, width)) else 1)


def two_pay(whole: float, halves: float) -> bool:
    """`whole`: seconds of a job on all cores; `halves`: of two side by side on half each."""
    return 2 * whole > PAYS * halves


def measure(cores: int, width: int) -> tuple[float, float]:
    """Seconds of the same training steps, the quickest of a few rounds taken in turn: one process
    on all cores, and two at the same time on half of them each."""
    with _steppers([cores], width) as whole, _steppers([cores // 2] * 2, width) as halves:
        turns = [(_turn(whole), _turn(halves)) for _ in range(ROUNDS)]
    return min(t for t, _ in turns), min(t for _, t in turns)


@contextmanager
def _steppers(threads: list[int], width: int) -> Iterator[list[subprocess.Popen[str]]]:
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(width), str(n)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for n in threads
    ]  # fmt: skip
    try:
        for process in processes:
            _answer(process)
        yield processes
    finally:
        for process in processes:
            process.communicate()  # the end of its input is the end of it


def _turn(processes: list[subprocess.Popen[str]]) -> float:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return max(_answer(p) for p in processes)


def _answer(process: subprocess.Popen[str]) -> float:
    assert process.stdout is not None
    return float(process.stdout.readline())


def _train(width: int, threads: int) -> None:
    """Answer each line of input with the seconds of a few training steps of three blocks."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
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

    steps()
    print(0.0, flush=True)
    for _ in sys.stdin:
        print(steps(), flush=True)


if __name__ == "__main__":
    _train(int(sys.argv[1]), int(sys.argv[2]))
