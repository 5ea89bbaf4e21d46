"""What a section of the check is given and what it answers, and how it is run: bounded in time, its
failure kept as a record, so that the next one runs."""

from __future__ import annotations

import gc
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

LAST_LINES = 12  # of a traceback


@dataclass(frozen=True)
class Run:
    """Where a section runs. `tiny`: sizes for a test on a CPU; `folder`: scratch of its own."""

    device: torch.device
    tiny: bool
    folder: Path
    deadline: float
    """On `time.perf_counter`'s clock: when the section's share of the time is over."""
    partial: dict[str, Any] = field(default_factory=dict)
    """Figures so far, which are kept where a section raises or runs out of time."""

    @property
    def gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def left(self) -> float:
        return self.deadline - time.perf_counter()

    def say(self, what: str) -> None:
        print(f"    {what}", flush=True)


@dataclass(frozen=True)
class Answer:
    """Figures of a section by name, and what is wrong with them, a line each."""

    figures: dict[str, Any]
    problems: tuple[str, ...] = ()


Section = Callable[[Run], Answer]


class OutOfTime(BaseException):
    """A section took longer than its share. No Exception, which a section may catch by the case."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raises OutOfTime inside after so many seconds. Main thread of a Unix process alone."""

    def over(number: int, frame: object) -> None:
        raise OutOfTime(f"took longer than its {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(0.1, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def record(section: Section, run: Run) -> dict[str, Any]:
    """A section's record: `passed`, `failed` (its figures are wrong) or `error` (it raised)."""
    began = time.perf_counter()
    outcome: dict[str, Any]
    try:
        with bounded(run.left):
            answer = section(run)
        outcome = {"figures": answer.figures}
        if answer.problems:
            outcome["problems"] = list(answer.problems)
        outcome["status"] = "failed" if answer.problems else "passed"
    except (Exception, OutOfTime) as error:
        lines = "".join(traceback.format_exception(error)).strip().splitlines()
        outcome = {"status": "error", "figures": run.partial, "traceback": lines[-LAST_LINES:]}
    release(run.device)
    return {**outcome, "seconds": round(time.perf_counter() - began, 2)}


def release(device: torch.device) -> None:
    """Give memory back, so that the next section or measurement begins with none of this one's."""
    gc.collect()
    if device.type == "cuda":
        try:
            torch.cuda.synchronize(device)
            torch.cuda.empty_cache()
        except RuntimeError:  # the context is broken; `usable` says so
            return


def usable(device: torch.device) -> bool:
    """Whether the device still answers: a faulty kernel breaks a process's CUDA context."""
    if device.type != "cuda":
        return True
    try:
        return bool(torch.ones(2, device=device).sum().item() == 2)
    except RuntimeError:
        return False


def wait(device: torch.device) -> None:
    """Until all that was given to the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
