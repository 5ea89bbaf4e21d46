"""Where a student's step goes, and what was tried to shorten it: `python -m benchmarks.step`, some
ten minutes on a machine of its own.

A cohort of two with a stored teacher, 16 steps of the main setting. Each variant is a process (or
two at once), and they take turns. Writes step.json and step.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import machine

HERE = Path(__file__).parent
STUDENTS, STEPS, REPEATS = 2, 16, 3

KINDS = {
    "matrix products": ("addmm", "::mm", "bmm"),
    "attention": ("scaled_dot_product", "softmax"),
    "dropout": ("bernoulli", "dropout"),
    "GELU and norms": ("gelu", "layer_norm"),
    "optimiser and clipping": ("adamw", "AdamW", "vector_norm"),
}
"""Parts of a step, by what the names of torch's operators contain; the rest is `other`."""


@dataclass(frozen=True)
class Variant:
    """A variant of the step: options of `train`, environment variables, number of processes."""

    what: str
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: int = 1


VARIANTS = {
    "plain": Variant("one process, two threads, fp32"),
    "bf16": Variant("bf16 autocast", ("--bf16",)),
    "compiled": Variant("torch.compile of the students' blocks", ("--compile",)),
    "huge pages": Variant("tensors on huge pages", environment={"THP_MEM_ALLOC_ENABLE": "1"}),
    "kept memory": Variant(
        "malloc gives nothing back to the system",
        environment={"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)},
    ),
    "two processes": Variant("two processes of one thread each", ("--threads", "1"), {}, 2),
}


def train(threads: int, bf16: bool, compiled: bool, profiled: bool) -> dict[str, Any]:
    """Train one cohort; returns milliseconds per student of every step, or, profiled, microseconds
    by operator."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from benchmarks import cohort, setting
    from raykd.config.cohort import Cohort
    from raykd.data.assets import packages
    from raykd.planning.trials import confirm_trials
    from raykd.runtime import execution
    from raykd.training import distill
    from raykd.training.recorder import Memory

    torch.set_num_threads(threads)
    work = HERE / ".work" / f"step-{os.getpid()}"
    reviews = setting.reviews(work, 512, 1, threads)
    study, teacher = setting.prepare(cohort.with_source(reviews.sweep, "cached"), packages.home())
    of_seed = [t for t in confirm_trials(study) if t.seed == 0][:STUDENTS]
    changes: Any = {"steps": STEPS, "precision": "bf16" if bf16 else "fp32"}
    trials = tuple(replace(t, training=replace(t.training, **changes)) for t in of_seed)
    materials = cohort.load(study, teacher, list(trials))
    materials = replace(materials, where=execution.Execution(compile=compiled))
    step_ms: list[float] = []
    operators: Counter[str] = Counter()
    distill_module: Any = distill
    step = distill_module._step

    def timed(alive: Any, targets: Any, number: int) -> None:
        began = time.perf_counter()
        if profiled:
            with profile(activities=[ProfilerActivity.CPU]) as profiler:
                step(alive, targets, number)
            for event in profiler.key_averages():
                operators[event.key] += event.self_cpu_time_total
        else:
            step(alive, targets, number)
        step_ms.append(1000 * (time.perf_counter() - began) / len(alive))

    distill_module._step = timed
    print("ready", flush=True)
    sys.stdin.readline()
    materials.run(Cohort(trials), Memory())
    shutil.rmtree(work, ignore_errors=True)
    return {"operators": dict(operators)} if profiled else {"ms": step_ms}


def run(options: tuple[str, ...], environment: Mapping[str, str], processes: int) -> list[Any]:
    """Train in several processes at the same time; returns the answer of each."""
    command = [sys.executable, "-m", "benchmarks.step", "--train", *options]
    started = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env={**os.environ, **environment}, cwd=HERE.parent,
        )
        for _ in range(processes)
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{' '.join(command)} failed; run it to see why")
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [json.loads(process.communicate()[0]) for process in started]


def once(variant: Variant) -> dict[str, float]:
    """The median step of a student; two processes do two students' in the same time. `slowest_ms`
    is the first step where something is compiled."""
    answers = run(variant.options, variant.environment, variant.processes)
    steps = [ms for answer in answers for ms in answer["ms"]]
    return {"ms": statistics.median(steps) / variant.processes, "slowest_ms": max(steps)}


def shares(operators: Mapping[str, float]) -> dict[str, float]:
    """Shares of a step's time by part."""
    totals = dict.fromkeys((*KINDS, "other"), 0.0)
    for name, microseconds in operators.items():
        kind = next((k for k, parts in KINDS.items() if any(p in name for p in parts)), "other")
        totals[kind] += microseconds
    return {kind: part / sum(totals.values()) for kind, part in totals.items()}


def measure() -> dict[str, Any]:
    times: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for repeat in range(REPEATS):
        for name, variant in VARIANTS.items():
            print(f"{name}, repeat {repeat + 1} of {REPEATS}", flush=True)
            times[name].append(once(variant))
    (profiled,) = run(("--profile",), {}, 1)
    return {
        "machine": machine.describe(),
        "setting": {"students": STUDENTS, "steps": STEPS, "repeats": REPEATS},
        "times": times,
        "gains": {
            name: [p["ms"] / v["ms"] for p, v in zip(times["plain"], repeats, strict=True)]
            for name, repeats in times.items()
        },
        "profile": shares(profiled["operators"]),
    }


def table(results: Mapping[str, Any]) -> str:
    lines = [
        "# A student's step", "", "Written by `python -m benchmarks.step` from step.json; not by "
        "hand. Medians over the repeats, and their range.", "",
        "| variant | ms a step and student | speed to plain | slowest step, ms |",
        "|---|---|---|---|",
    ]  # fmt: skip
    for name, variant in VARIANTS.items():
        ms = [t["ms"] for t in results["times"][name]]
        gains, slowest = results["gains"][name], [t["slowest_ms"] for t in results["times"][name]]
        lines.append(
            f"| {variant.what} | {statistics.median(ms):.0f} ({min(ms):.0f} to {max(ms):.0f}) | "
            f"{statistics.median(gains):.2f} ({min(gains):.2f} to {max(gains):.2f}) | "
            f"{statistics.median(slowest):,.0f} |"
        )
    lines += ["", "| part of a step | share |", "|---|---|"]
    lines += [f"| {kind} | {100 * share:.0f} % |" for kind, share in results["profile"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.step", description=__doc__)
    parser.add_argument("--train", action="store_true", help="one process of a variant")
    parser.add_argument("--threads", type=int, default=2)
    for name in ("bf16", "compile", "profile"):
        parser.add_argument(f"--{name}", action="store_true")
    arguments = parser.parse_args()
    if arguments.train:
        print(
            json.dumps(
                train(arguments.threads, arguments.bf16, arguments.compile, arguments.profile)
            )
        )
        return
    results = measure()
    (HERE / "step.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (HERE / "step.md").write_text(table(results), encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
