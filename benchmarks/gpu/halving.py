"""Where memory is short: an evaluation halves its batches, and a training goes on with half of the
rows at a time, with the same results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.gpu import world
from benchmarks.gpu.room import reserved, short
from benchmarks.gpu.section import Answer, Run, release
from benchmarks.gpu.world import MINILM, TINY
from raykd.cluster.launch.retry import Failure, Part, after  # the rule itself, which imports no Ray
from raykd.config.cohort import Cohort
from raykd.training.recorder import Memory

ANSWERS, LOSSES = 1e-3, 2e-4


def halving(run: Run) -> Answer:
    figures, problems = evaluation(run)
    more, others = training(run)
    return Answer({"evaluation": figures, "training": more}, (*problems, *others))


def evaluation(run: Run) -> tuple[dict[str, Any], tuple[str, ...]]:
    size, length = (TINY, 16) if run.tiny else (MINILM, 128)
    most, fits = (64, 16) if run.tiny else (2048, 512)
    rows = world.rows(most, size.vocab, length, length, 1)
    made = world.materials(size, rows, run.device, run.folder)

    def answers(batch: int) -> np.ndarray:
        data = replace(made.data, eval_batch=batch)
        return data.family.evaluate(made.teacher, rows, data, made.where)

    answers(fits)
    small, low = reserved(run.device, lambda: answers(fits))
    _, high = reserved(run.device, lambda: answers(most))
    with short(run.device, fits, (low, high)), batches(made.teacher) as asked:
        found = answers(most)
    apart = float(np.abs(found - small).max())
    figures = {"asked": asked, "largest difference of logits": apart, "allowed": ANSWERS,
               "reserved_mib": [x >> 20 for x in (low, high)]}  # fmt: skip
    problems = []
    if not (asked[0] == most and asked[-1] < most):
        problems.append(f"no batch was halved: {asked}")
    if not apart <= ANSWERS:
        problems.append(f"halved batches answer otherwise, by {apart:.2g}")
    return figures, tuple(problems)


def training(run: Run) -> tuple[dict[str, Any], tuple[str, ...]]:
    size = replace(TINY if run.tiny else MINILM, dropout=0.0)
    length, batch = (16, 32) if run.tiny else (128, 256)
    rows = world.rows(2 * batch, size.vocab, length, length, 1)
    specs = [world.trial(size, batch=batch, steps=2, name=f"arm {i}") for i in range(2)]

    def trained(micro_batch: int | None) -> Memory:
        made = world.materials(size, rows, run.device, run.folder, micro_batch=micro_batch)
        return world.train(made, specs)

    quarter = batch // 4
    _, low = reserved(run.device, lambda: trained(quarter))
    wanted, high = reserved(run.device, lambda: trained(None))
    tried: list[int] = []
    part: Part | None = Part((Cohort(tuple(specs)),))
    found = None
    with short(run.device, quarter, (low, high)):
        while part is not None and found is None:
            tried.append(part.micro_batch or batch)
            reason = None
            try:
                found = trained(part.micro_batch)
            except torch.OutOfMemoryError as error:
                reason = str(error)[:100]
            # After the error is let go of, and with it the tensors that its frames hold.
            if reason is not None:
                part = next(iter(after(part, Failure("memory", reason), 0, batch)), None)
                release(run.device)
    apart = float("inf") if found is None else world.difference(wanted, found)
    figures = {"rows at a time": tried, "largest difference of losses": apart, "allowed": LOSSES,
               "reserved_mib": [x >> 20 for x in (low, high)]}  # fmt: skip
    problems = []
    if len(tried) < 2:
        problems.append("the whole batch fitted: nothing was halved")
    if not apart <= LOSSES:
        problems.append(f"in parts the losses differ by {apart:.2g}")
    return figures, tuple(problems)


@contextmanager
def batches(model: nn.Module) -> Iterator[list[int]]:
    """How many rows each forward pass of a model was asked for, in order."""
    asked: list[int] = []
    hook = model.register_forward_pre_hook(
        lambda module, args, kwargs: asked.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    try:
        yield asked
    finally:
        hook.remove()
