"""What the measurements of imitation cost: the share of a training that R² and the cosines of
parameter gradients take.

    python -m benchmarks.probe_cost SWEEP     writes probe_cost.json and probe_cost.md

A student of `forward` is trained for a few steps in one process of one thread, and both
measurements are made again and again between the steps. Each repeat gives the CPU time of a
measurement over that of a step (batch, teacher, student, optimiser; evaluations do not count). The
share follows from it: times the measurements of the sweep's whole training, over its steps.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch

from benchmarks import machine
from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.data.assets import packages
from raykd.planning.resolve import resolve
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.sweep.fine_tune import fine_tune
from raykd.training import distill
from raykd.training.early_stopping import marks
from raykd.training.imitation import gradients
from raykd.training.imitation.gradients import GradientProbe, Schedule
from raykd.training.imitation.probe import SHARE, ImitationProbe, measured_steps
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

REPEATS, STEPS, TIMES = 4, 12, 3
R2, COSINES = "R²", "gradient cosines"
JSON = Path(__file__).with_suffix(".json")


@contextmanager
def replaced(space: dict[str, Any], **new: Any) -> Iterator[None]:
    old = {name: space[name] for name in new}
    space.update(new)
    try:
        yield
    finally:
        space.update(old)


@contextmanager
def timed(owner: type, method: str, spent: list[float]) -> Iterator[None]:
    """Add the CPU seconds of each call."""
    call = getattr(owner, method)

    def run(*args: Any) -> Any:
        began = time.process_time()
        result = call(*args)
        spent.append(time.process_time() - began)
        return result

    setattr(owner, method, run)
    try:
        yield
    finally:
        setattr(owner, method, call)


def repeat(trainer: CohortTrainer, cohort: Cohort, tokens: int) -> dict[str, float]:
    """Train for some steps, and return CPU seconds of a step and of each measurement."""
    of_r2, of_cosines, evaluated = list[float](), list[float](), list[float]()
    select, due = distill._select_score, frozenset(marks(STEPS, TIMES))

    def evaluate(*args: Any) -> float:
        began = time.process_time()
        score = select(*args)
        evaluated.append(time.process_time() - began)
        return score

    at = Schedule(frozenset(step - 1 for step in due), tokens)
    with (
        replaced(
            vars(distill), _select_score=evaluate, _finish=lambda *_: None,
            measured_steps=lambda *_: due,
        ),
        replaced(vars(gradients), schedule=lambda *_: at),
        timed(ImitationProbe, "measure", of_r2),
        timed(GradientProbe, "measure", of_cosines),
    ):  # fmt: skip
        began = time.process_time()
        trainer.run(cohort, Memory())
        whole = time.process_time() - began
    assert len(of_r2) == len(of_cosines) == TIMES
    steps = whole - sum(of_r2) - sum(of_cosines) - sum(evaluated)
    return {"step": steps / STEPS, R2: median(of_r2), COSINES: median(of_cosines)}


def measure(sweep: Path) -> dict[str, Any]:
    study = resolve(load(sweep), packages.home(), str(sweep))
    sources = replace(training_inputs(study, fine_tune(study).folder), angles=None)
    trainer = CohortTrainer.load(sources, Execution())
    trial = next(t for t in confirm_trials(study) if t.strategy == "forward")
    training, data = trial.training, trainer.data
    evaluations = marks(training.steps, training.evaluations)
    planned = gradients.schedule(training, data)
    counts = {
        R2: len(measured_steps(training, data, evaluations)), COSINES: len(planned.steps)
    }  # fmt: skip
    trainer._lines(trial.loss.kind, trainer.where)  # measured once a home
    short = replace(trial, training=replace(training, steps=STEPS, evaluations=TIMES))
    repeats = []
    for number in range(1, REPEATS + 1):
        repeats.append(repeat(trainer, Cohort((short,)), planned.tokens))
        print(number, repeats[-1], flush=True)
    return {
        "sweep": str(sweep),
        "steps": training.steps,
        "batch": training.batch,
        "measurements": counts,
        "tokens": planned.tokens,
        "repeats": repeats,
        "load": round(psutil.getloadavg()[2], 1),
        "nice": os.nice(0),
        "machine": machine.describe(),
        "versions": machine.versions(None),
    }


def shares(result: Mapping[str, Any], probe: str) -> list[float]:
    """The share of the sweep's training that a measurement takes, by repeat."""
    count = result["measurements"][probe] / result["steps"]
    return [count * seconds[probe] / seconds["step"] for seconds in result["repeats"]]


def page(results: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "# What measuring imitation costs",
        "",
        "Written by `python -m benchmarks.probe_cost SWEEP` from probe_cost.json; not by hand. CPU "
        "time of one thread.",
        "Medians over the repeats, and their range. Each may cost "
        f"{100 * SHARE:.0f} % of a training, but one measurement is always",
        "made.",
        "",
        "| sweep, a student of forward | steps | measurement | times | one, in steps | of the "
        "training |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        for probe, count in result["measurements"].items():
            steps = [r[probe] / r["step"] for r in result["repeats"]]
            cells = [
                result["sweep"], f"{result['steps']} of {result['batch']} rows", probe, count,
                spread(steps, "{:.1f}".format), spread(shares(result, probe), "{:.1%}".format),
            ]  # fmt: skip
            lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", "The machine was busy with other work:", ""]
    lines += [
        f"- {r['sweep']}: {len(r['repeats'])} repeats of {STEPS} steps at nice {r['nice']}; "
        f"{r['machine']['cores']} cores of {r['machine']['cpu']}, 15-minute load {r['load']}"
        for r in results
    ]
    return "\n".join(lines) + "\n"


def spread(values: Sequence[float], shown: Callable[[float], str]) -> str:
    text = f"{shown(median(values))} ({shown(min(values))} to {shown(max(values))})"
    return text.replace("%", " %")


def main() -> None:
    torch.set_num_threads(1)
    result = measure(Path(sys.argv[1]))
    kept = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else []
    results = [r for r in kept if r["sweep"] != result["sweep"]] + [result]
    JSON.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    JSON.with_suffix(".md").write_text(page(results), encoding="utf-8")
    print(page(results))


if __name__ == "__main__":
    main()
