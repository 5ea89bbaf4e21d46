"""Speed: the paper's recipe, a plain loop in bf16, raykd live and from a store with 1, 4 and 16
students, by turns; examples a second, each counted as often as a student learned it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu.section import Answer, Run, release
from benchmarks.gpu.timing import ARMS, Arm, Bench, Timed
from benchmarks.gpu.world import BERT, MINILM, TINY, Size

REPEATS, WINDOW = 3, 1.2  # seconds that are timed in each turn
RESERVE = 12.0  # seconds that are kept for what a turn takes longer than it did before


@dataclass
class Turns:
    """An arm at a size: how long its turns take, and what they said."""

    size: str
    arm: Arm
    bench: Bench
    steps: int
    took: float
    """Seconds of the longest turn, all told."""
    rates: list[float]
    step_ms: list[float]
    more: dict[str, Any]


def speed(run: Run) -> Answer:
    sizes = (TINY,) if run.tiny else (MINILM, BERT)
    every: list[Turns] = []
    problems: list[str] = []
    for size in sizes:
        bench = Bench.make(run, size)
        for arm in ARMS[:3] if run.tiny else ARMS:
            if run.left < RESERVE:
                problems.append(f"{size.name} {arm.name}: not timed, for want of time")
                continue
            try:
                every.append(_first(run, size, arm, bench))
            except Exception as error:  # an arm that has no room leaves the others their figures
                why = f"{type(error).__name__}: {str(error)[:200]}"
                problems.append(f"{size.name} {arm.name}: {why}")
                release(run.device)
        run.partial.update(_told(every, 0))
    left_out = 0
    for repeat in range(1 if run.tiny else REPEATS):
        for turns in every:
            if run.left < turns.took + RESERVE:
                left_out += 1
                continue
            _turn(turns)
            run.partial.update(_told(every, left_out))
        run.say(f"repeat {repeat + 1} of {REPEATS}, {left_out} turns left out for want of time")
    return Answer(_told(every, left_out), tuple(problems))


def _told(every: list[Turns], left_out: int) -> dict[str, Any]:
    sizes = dict.fromkeys(t.size for t in every)
    return {
        "settings": {t.size: t.bench.setting for t in every},
        "turns_left_out": left_out,
        "sizes": {size: _figures([t for t in every if t.size == size]) for size in sizes},
    }


def _first(run: Run, size: Size, arm: Arm, bench: Bench) -> Turns:
    """A short turn, which finds how many steps fill the window; then where its time goes."""
    began = time.perf_counter()
    short = bench.time(arm, bench.fewest(arm))
    took = time.perf_counter() - began
    window = 0.05 if run.tiny else WINDOW
    steps = min(500, max(bench.fewest(arm), round(window / short.step_seconds / arm.share)))
    try:
        looked = bench.look(arm)
    except Exception as error:  # a profiler that may not look: the times stand without it
        looked = {"not_looked": f"{type(error).__name__}: {str(error)[:200]}"}
    found = Turns(
        size.name, arm, bench, steps, took + window / arm.share, [], [], looked if run.gpu else {}
    )
    run.say(f"{size.name} {arm.name}: {short.rate:.0f} examples/s at first, {steps} steps a turn, "
            f"{time.perf_counter() - began:.1f} s")  # fmt: skip
    return found


def _turn(turns: Turns) -> None:
    began = time.perf_counter()
    timed: Timed = turns.bench.time(turns.arm, turns.steps)
    turns.rates.append(timed.rate)
    turns.step_ms.append(1000 * timed.step_seconds)
    turns.took = max(turns.took, time.perf_counter() - began)


def _figures(every: list[Turns]) -> dict[str, Any]:
    by_name = {t.arm.name: t for t in every if t.rates}
    return {name: _of_arm(t, by_name) for name, t in by_name.items()}


def _of_arm(turns: Turns, every: Mapping[str, Turns]) -> dict[str, Any]:
    """`busy`: the share of a step in which kernels run, by their time under the profiler and the
    step's time without it."""
    found: dict[str, Any] = {
        "examples_per_second": [round(r, 1) for r in turns.rates],
        "step_ms": round(statistics.median(turns.step_ms), 3),
        "steps": turns.steps,
        **turns.more,
    }
    for other in ("paper", "plain"):
        if other in every:
            pairs = zip(turns.rates, every[other].rates, strict=False)
            ratios = sorted(own / theirs for own, theirs in pairs)
            found[f"to_{other}"] = [round(x, 3) for x in (statistics.median(ratios), ratios[0],
                                                          ratios[-1])]  # fmt: skip
    if "kernel_ms" in found:
        found["busy"] = round(found["kernel_ms"] / found["step_ms"], 3)
    return found
