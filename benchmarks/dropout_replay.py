"""What replayed dropout noise saves in a step of eight students.

    python -m benchmarks.dropout_replay     writes dropout_replay.json and dropout_replay.md

Students of MiniLM's sizes (three blocks, random weights) take their steps on random rows, in one
process of one thread, by turns with replayed noise and with noise drawn by each student. Each turn
gives the ratio of the CPU times of two steps on the same batch, after the teacher's pass. The cost
of noise as factors and as bits is measured in the same process.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import torch

from benchmarks import machine
from benchmarks.gpu import world
from benchmarks.gpu.world import MINILM, PAD
from raykd.models.embedding_rows import tokens_in
from raykd.models.student import build_student
from raykd.runtime.execution import Execution
from raykd.runtime.execution_settings import Precision
from raykd.teachers.targets import LiveTeacher
from raykd.training.learner import Learner
from raykd.training.step import optimize, with_targets

STUDENTS, TURNS, BATCHES, ROWS, LONGEST = 8, 4, (16, 32), 128, 120
JSON = Path(__file__).with_suffix(".json")


def cpu_ms(run: Callable[[], object]) -> float:
    began = time.thread_time()
    run()
    return 1000 * (time.thread_time() - began)


def steps(batch: int, precision: Precision) -> dict[str, Any]:
    """CPU milliseconds of a step, by turn. The first turn, which allocates, is left out."""
    where = Execution(precision=precision)
    drawn = replace(where, micro_batch=batch)  # one part, for which noise is not replayed
    train = world.rows(ROWS, MINILM.vocab, 8, LONGEST, seed=1)
    data, teacher = world.data(train, MINILM.vocab), world.model(MINILM.config())
    trial = world.trial(MINILM, steps=10 * TURNS, batch=batch, precision=precision)
    live = LiveTeacher(teacher, trial.teacher_states, data.family, where.autocast())
    used = tokens_in(train.input_ids, PAD)
    learners = [
        Learner(
            trial, build_student(teacher, trial.shape, trial.init, 0), data.family, MINILM.width,
            where, used,
        )
        for _ in range(STUDENTS)
    ]  # fmt: skip
    middle = np.argsort(train.lengths, kind="stable")[(ROWS - batch) // 2 :][:batch]
    part = data.family.collate(train, middle, PAD)
    targets = {trial.targets: with_targets(live, [(part, None)], where, 0, 0)}
    ms: dict[str, list[float]] = {"drawn": [], "replayed": []}
    number = 0
    for turn in range(TURNS):
        ways = [("drawn", drawn), ("replayed", where)]
        for name, way in ways[:: 1 if turn % 2 else -1]:
            number += 1
            ms[name].append(cpu_ms(lambda: optimize(learners, targets, number, way)))  # noqa: B023
    live.close()
    tokens = part.inputs["input_ids"].shape[1]
    return {
        "batch": batch, "tokens": tokens, "precision": precision,
        "ms": {name: found[1:] for name, found in ms.items()},
    }  # fmt: skip


def forms() -> dict[str, list[float]]:
    """CPU milliseconds to multiply a state of 16 rows of 30 tokens with noise, by its form."""
    x_BTD = torch.randn(16, 30, MINILM.width)
    factors_BTD = torch.empty_like(x_BTD).bernoulli_(0.9).div_(0.9)
    bits_BTD = factors_BTD.bool()
    ways: dict[str, Callable[[], object]] = {
        "drawn": lambda: torch.dropout(x_BTD, 0.1, True),
        "factors": lambda: x_BTD * factors_BTD,
        "bits": lambda: x_BTD * bits_BTD.to(x_BTD.dtype).div_(0.9),
    }
    return {name: [cpu_ms(way) for _ in range(50)] for name, way in ways.items()}


def ratios(setting: Mapping[str, Any]) -> list[float]:
    """How many times as long a step takes in which each student draws its noise, by turn."""
    ms = setting["ms"]
    return [a / b for a, b in zip(ms["drawn"], ms["replayed"], strict=True)]


def page(result: Mapping[str, Any]) -> str:
    """The table of the results."""
    lines = [
        "# Dropout noise drawn once",
        "",
        "Written by `python -m benchmarks.dropout_replay` from dropout_replay.json; not by hand. A "
        f"step of {STUDENTS} students of",
        "MiniLM's sizes, three blocks each: CPU time of one thread with noise drawn by each "
        "student, over that with",
        f"noise replayed. Medians over {TURNS - 1} turns, and their range.",
        "",
        "| rows | tokens of a row | precision | drawn, ms | replayed, ms | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for setting in result["settings"]:
        found, ms = ratios(setting), {k: median(v) for k, v in setting["ms"].items()}
        cells = [
            setting["batch"], setting["tokens"], setting["precision"], f"{ms['drawn']:,.0f}",
            f"{ms['replayed']:,.0f}", f"{median(found):.2f} ({min(found):.2f} to {max(found):.2f})",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += [
        "", "| noise of 16 rows of 30 tokens, and the product | ms |", "|---|---|",
        *(f"| {name} | {median(ms):.2f} |" for name, ms in result["forms_ms"].items()), "",
        f"{result['machine']['cores']} cores of {result['machine']['cpu']}, nice {result['nice']}; "
        f"the machine was busy, 15-minute load {result['load']}.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "settings": [],
        "forms_ms": forms(),
        "nice": os.nice(0),
        "machine": machine.describe(),
        "versions": machine.versions(None),
    }
    for batch in BATCHES:
        for precision in ("fp32", "bf16"):
            result["settings"].append(steps(batch, precision))
            result["load"] = round(psutil.getloadavg()[2], 1)
            JSON.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            JSON.with_suffix(".md").write_text(page(result), encoding="utf-8")
    print(page(result))


if __name__ == "__main__":
    main()
