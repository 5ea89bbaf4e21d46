"""The machine's own fp32 matmul rate at the model's shapes: what a utilisation is a share of."""

from __future__ import annotations

import time
from typing import Any

import torch

from benchmarks import frame
from benchmarks.frame import Clock, Outcome, Rows, Setting

SECONDS = 0.5  # a shape


def gflops(tokens: int, inner: int, outer: int) -> float:
    """GFLOP/s of [tokens, inner] x [inner, outer]; the best of five stretches of repeats."""
    a, b = torch.randn(tokens, inner), torch.randn(inner, outer)
    for _ in range(3):
        a @ b
    best = 0.0
    for _ in range(5):
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS / 5:
            a @ b
            count += 1
        best = max(best, count * 2 * tokens * inner * outer / (time.perf_counter() - began))
    return best / 1e9


def train(setting: Setting, clock: Clock) -> Outcome:
    student: Any = frame.load_model(setting.student)
    width, wide = student.config.hidden_size, student.config.intermediate_size
    rows = Rows.read(setting, "train")
    tokens = round(float(rows.lengths.mean()) * setting.batch)
    # Of a block's multiplications: four of width x width, one up, one down.
    shapes = {(width, width): 4 * width * width, (width, wide): width * wide}
    shapes[(wide, width)] = width * wide
    clock.loaded()
    clock.start()
    rates = {shape: gflops(tokens, *shape) for shape in shapes}
    clock.stop()
    work = sum(shapes.values())
    rate = work / sum(share / rates[shape] for shape, share in shapes.items())
    blocks = sum(p.numel() for p in student.bert.encoder.parameters())
    return Outcome(
        1, clock.seconds,
        more={"gflops": rate, "tokens_a_batch": tokens, "block_parameters": blocks},
    )  # fmt: skip


if __name__ == "__main__":
    frame.main(train)
