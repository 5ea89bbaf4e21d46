"""Weights of the loss terms that change during a training: stages by share of its steps. Plain
Python, no torch.

The weights depend on the step and the number of steps alone, so workers, micro-batches and a resume
do not change them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

from raykd.maps.activations import Activation
from raykd.runtime.memo import digest

Ramp = tuple[float, float]
"""A weight at the first and at the last step of a stage, linear between them."""

Target = TypeVar("Target")
CONSTANT = "constant"  # the schedule of weights that do not change
LONGEST_TEXT = 250


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a training, from the end of the stage before to the share `until` of its steps.
    `progressive`: the pairs of the student blocks switch on one after another, from the bottom."""

    until: float
    ce: Ramp
    kl: Ramp
    hidden: Ramp
    progressive: bool = False

    @property
    def constant(self) -> bool:
        ramps = (self.ce, self.kl, self.hidden)
        return not self.progressive and all(first == last for first, last in ramps)


Schedule = tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of one step. `progress`: the steps so far and all steps of a progressive stage;
    None if all pairs are on."""

    ce: float
    kl: float
    hidden: float
    progress: tuple[int, int] | None = None

    def active(
        self, pairs: Sequence[tuple[Activation, Target]]
    ) -> tuple[tuple[Activation, Target], ...]:
        """Return the pairs that are on, those of the lowest student blocks. The two stacks of an
        encoder-decoder rise together."""
        if self.progress is None:
            return tuple(pairs)
        blocks = sorted({student.block for student, _ in pairs})
        done, steps = self.progress
        on = set(blocks[: math.ceil((done + 1) * len(blocks) / steps)])
        return tuple(pair for pair in pairs if pair[0].block in on)


def ends(schedule: Schedule, steps: int) -> list[int]:
    """Return the number of steps after which each stage ends: the nearest to its share, and at
    least one step for each stage."""
    result: list[int] = []
    for later, stage in zip(range(len(schedule) - 1, -1, -1), schedule, strict=True):
        start = result[-1] if result else 0
        result.append(min(max(round(stage.until * steps), start + 1), max(start, steps - later)))
    return result


def weights_at(schedule: Schedule, step: int, steps: int) -> Weights:
    """Return the weights at a step (0-based) of a training of so many steps. A ramp has its first
    weight at the first step of its stage and its last weight at the last step."""
    stage_ends = ends(schedule, steps)
    index = min(bisect_right(stage_ends, step), len(schedule) - 1)
    stage, start = schedule[index], stage_ends[index - 1] if index else 0
    done, length = step - start, stage_ends[index] - start

    def weight(ramp: Ramp) -> float:
        first, last = ramp
        if first == last or length < 2:
            return first
        return first + (last - first) * done / (length - 1)

    progress = (done, length) if stage.progressive else None
    return Weights(weight(stage.ce), weight(stage.kl), weight(stage.hidden), progress)


@cache
def first_output_step(schedule: Schedule, steps: int) -> int:
    """Return the first step (0-based) at which cross entropy or KL has a weight; 0 if neither ever
    has one."""
    every = ((step, weights_at(schedule, step, steps)) for step in range(steps))
    return next((step for step, weights in every if weights.ce or weights.kl), 0)


def largest(schedule: Schedule) -> Weights:
    """Return the largest weight of each term over the training."""
    return Weights(
        max(max(stage.ce) for stage in schedule), max(max(stage.kl) for stage in schedule),
        max(max(stage.hidden) for stage in schedule),
    )  # fmt: skip


def simplified(schedule: Schedule) -> Schedule:
    """Return the same weights in as few stages as state them: equal constant stages are one."""
    result: list[Stage] = []
    for stage in schedule:
        if stage.constant and result and replace(result[-1], until=stage.until) == stage:
            result[-1] = stage
        else:
            result.append(stage)
    return tuple(result)


def unmatched(schedule: Schedule, ce: float, kl: float, hidden: float) -> Schedule:
    """Return the schedule of a student that matches nothing: that of `ce` and `kl`. In stages of
    the hidden loss alone it would learn nothing, so there it has the constant weights `ce` and
    `kl`."""
    return tuple(
        Stage(stage.until, stage.ce, stage.kl, (hidden, hidden))
        if any((*stage.ce, *stage.kl))
        else Stage(stage.until, (ce, ce), (kl, kl), (hidden, hidden))
        for stage in schedule
    )


def text(schedule: Schedule) -> str:
    """Return a schedule as a text, different for different schedules: `until 0.5: ce 0, kl 0,
    hidden 1; until 1: ce 1, kl 1, hidden 0 to 2`."""
    full = "; ".join(_stage_text(stage) for stage in schedule)
    if len(full) <= LONGEST_TEXT:
        return full
    return f"{full[: LONGEST_TEXT - 16]}... {digest(full)}"


def _stage_text(stage: Stage) -> str:
    def parts() -> Iterator[str]:
        for name in ("ce", "kl", "hidden"):
            first, last = map(_number, getattr(stage, name))
            yield f"{name} {first}" if first == last else f"{name} {first} to {last}"
        if stage.progressive:
            yield "blocks progressive"

    return f"until {_number(stage.until)}: {', '.join(parts())}"


def _number(value: float) -> str:
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
