"""A training that is stopped and gone on with against one that is not, with dropout."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import world
from benchmarks.gpu.section import Answer, Run
from benchmarks.gpu.world import SMALL, TINY
from raykd.maps import strategies
from raykd.training.hooks import NoHooks, TeacherTiming
from raykd.training.recorder import Memory

ALLOWED = 1e-4  # where the device's kernels do not repeat themselves bit for bit
STEPS, EVALUATIONS, STOP = 12, 3, 10


class Stopped(Exception):
    """The training was interrupted, as it was to be."""


class Interrupt(NoHooks):
    """Keeps the newest checkpoint on disk, and stops the training at a step, if there is one."""

    def __init__(self, file: Path, stop_at: int | None = None) -> None:
        self.file, self.stop_at = file, stop_at

    def progress(self, step: int, examples: int, scores: Any, taught: TeacherTiming) -> None:
        if self.stop_at is not None and step >= self.stop_at:
            raise Stopped

    def checkpoint(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        torch.save(state(), self.file)


def resume(run: Run) -> Answer:
    size = TINY if run.tiny else SMALL
    rows = world.rows(128, size.vocab, 4, 24 if run.tiny else 64, 1)
    back = strategies.reverse(size.blocks, size.student, 0)
    how: Any = {"steps": STEPS, "batch": 16, "evaluations": EVALUATIONS}
    trials = [
        world.trial(size, **how),
        world.trial(size, back, name="reverse", width=size.width // 2, **how),
    ]
    file = run.folder / "state.pt"

    def trained(stop_at: int | None = None, resumed: Any = None) -> Memory:
        made = world.materials(size, rows, run.device, run.folder)
        return world.train(made, trials, hooks=Interrupt(file, stop_at), resume=resumed)

    usual = world.difference(trained(), trained())
    with deterministic() as warned:
        whole = trained()
        try:
            trained(STOP)
            raise RuntimeError("the training was not stopped")
        except Stopped:
            state = torch.load(file, map_location="cpu", weights_only=True)
        rest = trained(resumed=state)
    after = state["step"]
    cut = told_after(whole, after)
    of_losses = world.difference(cut, rest)
    of_logits = max(
        abs(a - b)
        for t in trials
        for name in ("logit_no", "logit_yes")
        for a, b in zip(
            whole.results[t.id].predictions[name], rest.results[t.id].predictions[name],
            strict=True,
        )
    )  # fmt: skip
    figures = {
        "resumed_after": after,
        "largest difference of losses": of_losses,
        "largest difference of test logits": of_logits,
        "bitwise": of_losses == of_logits == 0.0,
        "the same training twice, as it is run": usual,
        "operators without a deterministic kernel": warned,
        "allowed": ALLOWED,
    }
    problems = []
    if after != 8:
        problems.append(f"the newest checkpoint is of step {after}, not 8")
    if not (of_losses <= ALLOWED and of_logits <= ALLOWED):
        problems.append(f"resumed differs: losses by {of_losses:.2g}, logits by {of_logits:.2g}")
    return Answer(figures, tuple(problems))


def told_after(whole: Memory, after: int) -> Memory:
    """What was told after a step."""
    told = {k: [(s, m) for s, m in v if s > after] for k, v in whole.metrics.items()}
    return replace(whole, metrics=told)


@contextmanager
def deterministic() -> Iterator[list[str]]:
    """Operators take a deterministic kernel where they have one; yields the names (filled in at the
    end) of those that warned of having none."""
    names: list[str] = []
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield names
        finally:
            torch.use_deterministic_algorithms(False)
            told = {str(w.message).split(" does not have")[0][:80] for w in seen
                    if "determinis" in str(w.message)}  # fmt: skip
            names += sorted(told)
