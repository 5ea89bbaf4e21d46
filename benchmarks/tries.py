"""Attempts to shorten a student's step, inside one process: `python -m benchmarks.tries`.

Each attempt is a student that differs from the plain one in one thing. The students take turns step
by step on the same batches, so that a slow moment of the machine affects all of them, and each step
is compared with the plain step of the same turn. Writes tries.json and tries.md beside this file;
attempts that need a process of their own are in benchmarks/step.py.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HERE = Path(__file__).parent
WARM, STEPS = 2, 24
LANES = 2**16  # values of the 16 random bits that decide whether one number is dropped
Rounds = dict[str, list[float]]


@dataclass(frozen=True)
class Try:
    what: str
    change: Callable[[Any], None] = lambda learner: None
    whole: bool = False
    """Train all rows of the word embedding, as a usual optimiser does."""


def _bits(shape: torch.Size, p: float, rng: np.random.Generator) -> Tensor:
    """Dropout factors, each drawn from 16 random bits."""
    count, dropped = math.prod(shape), round(p * LANES)
    words = rng.integers(0, 2**64, size=-(-count // 4), dtype=np.uint64)
    lanes = torch.from_numpy(words.view(np.int16)[:count])
    return (
        (lanes >= dropped - LANES // 2)
        .to(torch.float32)
        .mul_(LANES / (LANES - dropped))
        .view(shape)
    )


class _BitDropout(nn.Module):
    def __init__(self, p: float, rng: np.random.Generator) -> None:
        super().__init__()
        self.p, self.rng = p, rng

    def forward(self, x: Tensor) -> Tensor:
        return x * _bits(x.shape, self.p, self.rng) if self.training and self.p else x


def random_bits(learner: Any) -> None:
    """Use dropout by random bits in hidden states and in attention."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    rng = np.random.default_rng(np.random.SFC64(0))

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None,
        dropout: float = 0.0, scaling: float | None = None, **more: Any,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        scores = query * (scaling or query.shape[-1] ** -0.5) @ key.transpose(2, 3)
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        if module.training and dropout:
            weights = weights * _bits(weights.shape, dropout, rng)
        return (weights @ value).transpose(1, 2).contiguous(), weights

    AttentionInterface.register("random_bits", attention)
    AttentionMaskInterface.register("random_bits", sdpa_mask)
    learner.model.set_attn_implementation("random_bits")
    for module in list(learner.model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Dropout:
                setattr(module, name, _BitDropout(child.p, rng))


def no_dropout(learner: Any) -> None:
    for module in learner.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "dropout_prob", None), float):
            module.dropout_prob = 0.0


def eager(learner: Any) -> None:
    learner.model.set_attn_implementation("eager")


def foreach(learner: Any) -> None:
    groups = [{**g, "fused": False, "foreach": True} for g in learner.optimizer.param_groups]
    learner.optimizer = torch.optim.AdamW(groups)


def flush_denormals(learner: Any) -> None:
    def flushed(function: Callable[..., None], *arguments: Any) -> None:
        torch.set_flush_denormal(True)
        function(*arguments)
        torch.set_flush_denormal(False)

    learner.backward = partial(flushed, learner.backward)
    learner.update = partial(flushed, learner.update)


TRIES = {
    "plain": Try("as it is"),
    "whole table": Try("the word embedding trained in all its rows", whole=True),
    "random bits": Try("dropout by 16 random bits a number: other noise", random_bits),
    "no dropout": Try("no dropout, a bound", no_dropout),
    "eager": Try("eager attention in the place of sdpa", eager),
    "foreach": Try("AdamW by foreach in the place of fused", foreach),
    "denormals": Try("denormal numbers flushed to zero", flush_denormals),
}


def measure(threads: int) -> dict[str, Any]:
    """Milliseconds of the steps of each attempt, and of single and batched matrix products."""
    from benchmarks import cohort, machine, setting
    from raykd.config.cohort import Cohort
    from raykd.data.assets import packages
    from raykd.planning.trials import confirm_trials
    from raykd.training import distill
    from raykd.training.recorder import Memory

    torch.set_num_threads(threads)
    work = HERE / ".work" / f"tries-{os.getpid()}"
    reviews = setting.reviews(work, 512, 1, threads)
    study, teacher = setting.prepare(cohort.with_source(reviews.sweep, "cached"), packages.home())
    trial = confirm_trials(study)[0]
    trial = replace(trial, training=replace(trial.training, steps=STEPS))
    materials = cohort.load(study, teacher, [trial])
    distill_module: Any = distill
    make, step, used = distill_module._learners, distill_module._step, distill_module.tokens_in
    times: Rounds = {name: [] for name in TRIES}

    def students(*arguments: Any) -> list[Any]:
        """The attempts as one cohort, so that they take turns as a cohort's students do."""
        learners = []
        for attempt in TRIES.values():
            distill_module.tokens_in = _every_token if attempt.whole else used
            learners += make(*arguments)
            attempt.change(learners[-1])
        return learners

    def timed(alive: list[Any], targets: Any, number: int) -> None:
        seconds_before = [learner.seconds for learner in alive]
        step(alive, targets, number)
        for name, learner, began in zip(TRIES, alive, seconds_before, strict=True):
            times[name].append(1000 * (learner.seconds - began))

    distill_module._learners, distill_module._step = students, timed
    materials.run(Cohort((trial,)), Memory())
    shutil.rmtree(work, ignore_errors=True)
    return {
        "machine": machine.describe(), "threads": threads,
        "tokens": len(used(materials.data.train.input_ids, materials.data.pad)),
        "ms": {name: ms[WARM:] for name, ms in times.items()},
        "products_ms": _products(),
    }  # fmt: skip


def _every_token(input_ids: np.ndarray, pad: int) -> Tensor:
    return torch.arange(int(input_ids.max()) + 1)


def _products(students: int = 4, tokens: int = 936, width: int = 384) -> Rounds:
    """Milliseconds of the feed-forward products of `students`: one by one, and batched."""
    x_KND = torch.randn(students, tokens, width)
    w_KDF = torch.randn(students, width, 4 * width)

    def apart() -> None:
        for x_ND, w_DF in zip(x_KND, w_KDF, strict=True):
            torch.mm(x_ND, w_DF)

    def batched() -> None:
        torch.bmm(x_KND, w_KDF)

    ways = {"one by one": apart, "batched": batched}
    times: Rounds = {name: [] for name in ways}
    for _ in range(20):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            times[name].append(1000 * (time.perf_counter() - began))
    return {name: ms[WARM:] for name, ms in times.items()}


def speeds(ms: Rounds, to: str) -> dict[str, tuple[float, float, float]]:
    """Speed of each attempt relative to `to`: median and quartiles over the turns."""
    ratios = {}
    for name, attempt_ms in ms.items():
        turns = [a / b for a, b in zip(ms[to], attempt_ms, strict=True)]
        low, middle, high = statistics.quantiles(turns, n=4)
        ratios[name] = (middle, low, high)
    return ratios


def table(results: dict[str, Any]) -> str:
    lines = [
        "# Tries at a student's step", "", "Written by `python -m benchmarks.tries` from "
        f"tries.json; not by hand. {results['threads']} threads; the training rows hold "
        f"{results['tokens']:,} tokens of the vocabulary. Medians over {STEPS - WARM} turns, and "
        "the middle half of them.", "",
    ]  # fmt: skip
    lines += ["| try | ms a step | speed to plain |", "|---|---|---|"]
    for name, (middle, low, high) in speeds(results["ms"], "plain").items():
        ms = statistics.median(results["ms"][name])
        lines.append(f"| {TRIES[name].what} | {ms:.0f} | {middle:.2f} ({low:.2f} to {high:.2f}) |")
    batched, low, high = speeds(results["products_ms"], "one by one")["batched"]
    lines.append(
        f"| matrix products of four students in one call, these alone | | {batched:.2f} "
        f"({low:.2f} to {high:.2f}) |"
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    result = measure(threads=2)
    (HERE / "tries.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (HERE / "tries.md").write_text(table(result), encoding="utf-8")
    print(table(result))
