"""Times an arm's steps. raykd's are timed between two of the looks at its losses that it takes
anyway, for which the host waits for the device; a loop's between two waits of our own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from transformers import PreTrainedModel

from benchmarks.gpu import loops, world
from benchmarks.gpu.kernels import Kernels, profiled, waits
from benchmarks.gpu.section import Run, wait
from benchmarks.gpu.world import Size
from raykd.config.trial import TrialSpec
from raykd.training.distill import TICKS
from raykd.training.hooks import NoHooks
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

FROM = 2  # the tick at which the clock starts; before it, kernels are chosen and memory is had
WARM = 3  # steps of a loop that are not timed
LOOKED = 16  # students' steps that are profiled


@dataclass(frozen=True)
class Arm:
    name: str
    students: int = 1
    source: str = ""
    """`live` or `cached` of raykd; none of a loop."""

    @property
    def share(self) -> float:
        """Of its steps that are timed."""
        return (TICKS - FROM) / TICKS if self.source else 1.0


ARMS = (
    Arm("paper"), Arm("plain"), Arm("live 1", 1, "live"), Arm("cached 1", 1, "cached"),
    Arm("live 4", 4, "live"), Arm("cached 4", 4, "cached"), Arm("live 16", 16, "live"),
    Arm("cached 16", 16, "cached"),
)  # fmt: skip


@dataclass(frozen=True)
class Timed:
    steps: int
    seconds: float
    examples: int

    @property
    def rate(self) -> float:
        return self.examples / self.seconds

    @property
    def step_seconds(self) -> float:
        return self.seconds / self.steps


@dataclass
class Clock(Memory):
    """When the losses of a tick had all been told: the step, and the time."""

    last: str = ""
    ticks: list[tuple[int, float]] = field(default_factory=list)

    def log(self, trial: TrialSpec, step: int, metrics: Any) -> None:
        super().log(trial, step, metrics)
        if trial.id == self.last and "loss" in metrics:
            self.ticks.append((step, time.perf_counter()))


class Between(NoHooks):
    """Runs what it is given at the ticks of these numbers, from 1."""

    def __init__(self, at: Mapping[int, Callable[[], object]]) -> None:
        self._at, self._ticks = at, count(1)

    def progress(self, *told: Any) -> None:
        self._at.get(next(self._ticks), lambda: None)()


@dataclass(frozen=True)
class Bench:
    """A size with its teacher, rows and a first student on the device, and both loops."""

    run: Run
    size: Size
    live: CohortTrainer
    cached: CohortTrainer
    first: PreTrainedModel
    made: dict[str, loops.Loop]
    batch: int
    setting: dict[str, Any]

    @classmethod
    def make(cls, run: Run, size: Size) -> Bench:
        longest, batch = (16, 8) if run.tiny else (128, 32)
        rows = world.rows(96 if run.tiny else 2048, size.vocab, 4, longest, 1)
        spec = _spec(size, batch, TICKS)
        states = tuple(sorted(spec.teacher_states))
        live = world.materials(size, rows, run.device, run.folder, states=states)
        first = live.build(spec).to(run.device)
        cached = replace(live, sources=replace(live.sources, source="cached"), opened={})
        began = time.perf_counter()
        world.train(cached, [spec])  # makes the store, which is part of no arm's time
        seconds = time.perf_counter() - began
        of_loops = {
            "paper": loops.paper_recipe(live, first, spec, longest),
            "plain": loops.plain(live, first, spec),
        }
        setting = {
            "rows": len(rows.ids), "batch": batch, "longest": longest,
            "mean_tokens": round(float(rows.lengths.mean()), 1),
            "teacher": f"{size.blocks} x {size.width}", "student_blocks": size.student,
            "teacher_parameters": live.teacher.num_parameters(),
            "student_parameters": first.num_parameters(),
            "store_and_first_steps_seconds": round(seconds, 2),
        }  # fmt: skip
        found = cls(run, size, live, cached, first, of_loops, batch, setting)
        run.say(f"{size.name}: ready, {setting}")
        return found

    def fewest(self, arm: Arm) -> int:
        """Steps that can be timed at all: one a tick."""
        return TICKS if arm.source else 5

    def time(self, arm: Arm, steps: int) -> Timed:
        if not arm.source:
            loop = self.made[arm.name]
            loop.run(WARM)
            wait(self.run.device)
            began = time.perf_counter()
            loop.run(steps)
            wait(self.run.device)
            return Timed(steps, time.perf_counter() - began, steps * self.batch)
        ticks = self._raykd(arm, steps).ticks
        (first, began), (last, ended) = ticks[FROM - 1], ticks[-1]
        return Timed(last - first, ended - began, (last - first) * self.batch * arm.students)

    def look(self, arm: Arm) -> dict[str, Any]:
        """What the GPU does in a step: its kernels, and where it is waited for."""
        steps = max(1, LOOKED // arm.students)
        if not arm.source:
            loop = self.made[arm.name]
            with profiled(self.run.device) as kernels:
                loop.run(steps)
            with waits(self.run.device) as places:
                loop.run(1)
            return _looked(kernels, steps, places)
        steps = min(steps, 5)
        with ExitStack() as profiling, ExitStack() as waiting:
            inside: dict[str, Any] = {}
            at = {
                FROM: lambda: inside.update(k=profiling.enter_context(profiled(self.run.device))),
                FROM + steps: profiling.close,
                FROM + steps + 1: lambda: inside.update(
                    w=waiting.enter_context(waits(self.run.device))
                ),
                FROM + steps + 2: waiting.close,
            }
            self._raykd(arm, TICKS, Between(at))  # a step a tick
        return _looked(inside["k"], steps, inside["w"])

    def _raykd(self, arm: Arm, steps: int, hooks: Between | None = None) -> Clock:
        specs = [
            replace(_spec(self.size, self.batch, steps), strategy=f"arm {i}")
            for i in range(arm.students)
        ]
        made = self.live if arm.source == "live" else self.cached
        clock = Clock(last=specs[-1].id)
        world.train(world.prebuilt(made, self.first), specs, hooks=hooks, recorder=clock)
        return clock


def _spec(size: Size, batch: int, steps: int) -> TrialSpec:
    return world.trial(size, steps=steps, batch=batch, precision="bf16")


def _looked(kernels: Kernels, steps: int, places: dict[str, int]) -> dict[str, Any]:
    return {
        "kernel_ms": round(1000 * kernels.seconds / steps, 3),
        "kernels": round(kernels.count / steps),
        "slowest_kernels_ms": {k: round(1000 * v / steps, 3) for k, v in kernels.slowest.items()},
        "waits": dict(places),
    }
