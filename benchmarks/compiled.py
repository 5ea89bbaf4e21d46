"""What `cluster.compile` costs and gains here: `python -m benchmarks.compiled`, a few minutes.

One student of the quickstart's shape on the same batches with and without, in turn. Writes
compiled.json beside this file.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine, setting
from raykd import assets
from raykd.distill import Where
from raykd.materials import Materials
from raykd.recorder import Memory
from raykd.sources import Sources
from raykd.study import confirm_trials
from raykd.trial import Cohort

HERE = Path(__file__).parent
STEPS, REPEATS, THREADS = 16, 3, 2


def measure() -> dict[str, Any]:
    torch.set_num_threads(THREADS)
    made = setting.reviews(HERE / ".work" / "compiled", 512, 1, THREADS)
    study, teacher = setting.prepare(made.sweep, assets.home())
    materials = Materials.load(Sources.of(study, teacher), Where())
    trial = confirm_trials(study)[0]
    trial = replace(trial, training=replace(trial.training, steps=STEPS, evaluations=1))
    times: dict[str, list[float]] = {"plain": [], "compiled": []}
    first: dict[str, float] = {}
    for _ in range(REPEATS + 1):
        for name, seconds in times.items():
            where = Where(compile=name == "compiled")
            run = replace(materials, where=where)
            began = time.perf_counter()
            memory = Memory()
            run.run(Cohort((trial,)), memory)
            took = time.perf_counter() - began
            if name not in first:
                first[name] = took
            else:
                seconds.append(took)
    return {
        "machine": machine.describe(),
        "steps": STEPS,
        "first_seconds": first,
        "seconds": times,
        "ratio": statistics.median(times["plain"]) / statistics.median(times["compiled"]),
    }


if __name__ == "__main__":
    found = measure()
    (HERE / "compiled.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
