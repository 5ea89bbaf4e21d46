"""A cohort on the device against the same cohort on the CPU, in fp32, from a store, and in bf16."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch

from benchmarks.gpu import world
from benchmarks.gpu.section import Answer, Run
from benchmarks.gpu.world import SMALL, TINY, Size
from raykd.config.trial import TrialSpec
from raykd.maps import strategies
from raykd.maps.activations import state
from raykd.training.recorder import Memory

# Largest relative difference of any loss at any tick. Between two ways of CPUs to sum (oneDNN or
# not) it is 2e-6; TF32 or a wrong sum is off by far more than a hundred times that.
FP32, STORED, BF16 = 2e-4, 2e-3, 2e-2


def trials(size: Size, **how: Any) -> list[TrialSpec]:
    """Copied and random weights, another width, and the three controls; without dropout, which
    each kind of device draws in its own way."""
    none, back = strategies.none(size.blocks, size.student, 0), strategies.reverse(
        size.blocks, size.student, 0
    )  # fmt: skip
    return [
        world.trial(size, none, name="none", **how),
        world.trial(size, name="forward", **how),
        world.trial(size, back, name="reverse", width=size.width // 2, **how),
        world.trial(size, targets="untrained", **how),
        world.trial(size, targets="shuffled", **how),
        world.trial(size, targets="mean", **how),
    ]


def cohort(run: Run) -> Answer:
    size = replace(TINY if run.tiny else SMALL, dropout=0.0)
    steps = 6 if run.tiny else 20
    rows = world.rows(64 if run.tiny else 640, size.vocab, 4, 24 if run.tiny else 64, 1)
    cpu = torch.device("cpu")

    def trained(device: torch.device, precision: str, cached: bool = False) -> Memory:
        began = time.perf_counter()
        states = tuple(state(block) for block in range(1, size.blocks + 1))
        made = world.materials(size, rows, device, run.folder, cached=cached, states=states)
        found = world.train(made, trials(size, steps=steps, batch=32, precision=precision))
        source = "stored" if cached else "live"
        run.say(f"{device.type} {precision} {source}: {time.perf_counter() - began:.1f} s")
        return found

    wanted = trained(cpu, "fp32")
    fp32 = trained(run.device, "fp32")
    again = trained(run.device, "fp32")
    stored = trained(run.device, "fp32", cached=True)
    bf16 = trained(run.device, "bf16")
    means = [_mean_loss(m) for m in (fp32, bf16)]
    found = {
        "fp32 to the CPU": (world.difference(wanted, fp32), FP32),
        "stored to live": (world.difference(fp32, stored), STORED),
        "bf16 to fp32, mean loss": (abs(means[1] - means[0]) / means[0], BF16),
    }
    figures = {
        "students": len(wanted.results),
        "steps": steps,
        "differences": {k: {"found": v, "allowed": a} for k, (v, a) in found.items()},
        "repeated": world.difference(fp32, again),
        "loss": {"first": _losses(fp32)[0], "last": _losses(fp32)[-1]},
    }
    problems = [f"{k}: {v:.2g} is above {a:g}" for k, (v, a) in found.items() if not v <= a]
    return Answer(figures, tuple(problems))


def _losses(found: Memory) -> list[float]:
    """The mean loss of all students, by tick."""
    each: dict[int, list[float]] = {}
    for (_, step, name), value in world.losses(found).items():
        if name == "loss":
            each.setdefault(step, []).append(value)
    return [sum(values) / len(values) for _, values in sorted(each.items())]


def _mean_loss(found: Memory) -> float:
    each = _losses(found)
    return sum(each) / len(each)
