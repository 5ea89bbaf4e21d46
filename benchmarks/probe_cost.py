"""What the measurements of imitation cost: the share of a training that R² and the cosines of
parameter gradients take.

    python -m benchmarks.probe_cost SWEEP [STRATEGY ...]     writes probe_cost.json and .md

A cohort of these strategies (forward) of SWEEP is trained without and with both measurements, in
turns, several times in one process of one thread. Two figures are printed: the CPU time inside a
measurement over that of the rest of its training, and the CPU time of the whole training over that
of the same repeat's training without measurements. A training is its steps and evaluations, without
the test split. The first figure is the cost; the second shows that nothing of it is missed, as
closely as the machine repeats itself.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from raykd.training.imitation.gradients import GradientProbe
from raykd.training.imitation.probe import SHARE, ImitationProbe
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

REPEATS = 3
PROBES: dict[str, tuple[type, str]] = {
    "R²": (ImitationProbe, "measure"),
    "gradient cosines": (GradientProbe, "__call__"),
}
JSON = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Cost:
    """CPU seconds of a training, and of each measurement within it."""

    training: float
    measured: Mapping[str, float]

    def share(self, probe: str) -> float:
        return self.measured[probe] / (self.training - sum(self.measured.values()))


def timed(call: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    def run(*args: Any, **named: Any) -> Any:
        began = time.process_time()
        try:
            return call(*args, **named)
        finally:
            spent.append(time.process_time() - began)

    return run


def nothing(_: object, students: Sequence[object], *__: object) -> list[dict[str, float]]:
    return [{} for _ in students]


def train(trainer: CohortTrainer, cohort: Cohort, measuring: bool) -> Cost:
    """Train the cohort anew, with or without the measurements."""
    finish, tested = distill._finish, list[float]()
    spent: dict[str, list[float]] = {name: [] for name in PROBES}
    originals = {name: getattr(*probe) for name, probe in PROBES.items()}
    vars(distill)["_finish"] = timed(finish, tested)
    for name, (probe, method) in PROBES.items():
        setattr(probe, method, timed(originals[name], spent[name]) if measuring else nothing)
    try:
        began = time.process_time()
        trainer.run(cohort, Memory())
        whole = time.process_time() - began
    finally:
        vars(distill)["_finish"] = finish
        for name, (probe, method) in PROBES.items():
            setattr(probe, method, originals[name])
    return Cost(whole - sum(tested), {name: sum(times) for name, times in spent.items()})


def measure(sweep: Path, strategies: Sequence[str]) -> dict[str, Any]:
    study = resolve(load(sweep), packages.home(), str(sweep))
    sources = replace(training_inputs(study, fine_tune(study).folder), angles=None)
    trainer = CohortTrainer.load(sources, Execution())
    of_file = [t for t in confirm_trials(study) if t.strategy in strategies]
    cohort = Cohort(tuple(t for t in of_file if t.seed == of_file[0].seed))
    began = time.process_time()  # what R² is compared with is measured once a home
    trainer._lines(cohort.trials[0].loss.kind, trainer.where)
    lines = time.process_time() - began
    repeats: list[dict[str, Cost]] = []
    for number in range(REPEATS):
        order = (False, True) if number % 2 else (True, False)
        costs = {measuring: train(trainer, cohort, measuring) for measuring in order}
        repeats.append({"without": costs[False], "with": costs[True]})
        print(number + 1, costs, flush=True)
    return {
        "sweep": str(sweep),
        "strategies": [t.strategy for t in cohort.trials],
        "steps": cohort.trials[0].training.steps,
        "repeats": [{arm: vars(cost) for arm, cost in r.items()} for r in repeats],
        "lines": lines,
        "load": round(psutil.getloadavg()[2], 1),
        "nice": os.nice(0),
        "machine": machine.describe(),
        "versions": machine.versions(None),
    }


def page(results: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "# What measuring imitation costs",
        "",
        "Written by `python -m benchmarks.probe_cost SWEEP` from probe_cost.json; not by hand. "
        "Medians over the",
        "repeats, and their range. CPU time of one thread; a training is its steps and "
        "evaluations, without the test",
        f"split. The measurements of a training may cost {SHARE:.0%} of it.",
        "",
        "| sweep | students, steps | R² | gradient cosines | training with both, over without |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        repeats = [{arm: Cost(**cost) for arm, cost in r.items()} for r in result["repeats"]]
        shares = [spread([r["with"].share(probe) for r in repeats]) for probe in PROBES]
        ratio = spread([r["with"].training / r["without"].training - 1 for r in repeats])
        students = f"{', '.join(result['strategies'])}; {result['steps']}"
        lines.append(f"| {' | '.join([result['sweep'], students, *shares, ratio])} |")
    lines += ["", "Each row is of a machine that other work kept busy:", ""]
    lines += [
        f"- {r['sweep']}: {len(r['repeats'])} repeats at nice {r['nice']}; {r['machine']['cores']} "
        f"cores of {r['machine']['cpu']}, 15-minute load {r['load']}. The constant and the lookup "
        f"took {r['lines']:.0f} CPU seconds, once a home."
        for r in results
    ]
    return "\n".join(lines) + "\n"


def spread(shares: Sequence[float]) -> str:
    return f"{median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})".replace("%", " %")


def main() -> None:
    torch.set_num_threads(1)
    result = measure(Path(sys.argv[1]), sys.argv[2:] or ["forward"])
    kept = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else []
    results = [r for r in kept if r["sweep"] != result["sweep"]] + [result]
    JSON.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    JSON.with_suffix(".md").write_text(page(results), encoding="utf-8")
    print(page(results))


if __name__ == "__main__":
    main()
