"""What it costs to build the students of a cohort, and the memory of a teacher that several workers
of a machine load.

    python -m benchmarks.loading     writes loading.json and loading.md

CPU seconds of one thread, by turns: eight students of MPNet's first six blocks' sizes, each drawn,
copied and verified alone (as before), and built as a cohort. A cohort's memory is that of its live
tensors. The teacher is the packaged MPNet, loaded as a sweep on a CPU does, in two processes, each
of which reads every weight.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from benchmarks import machine
from raykd.config.trial import Init, Shape
from raykd.data.assets import packages
from raykd.models import student
from raykd.models.loading import read_model
from raykd.planning.memory.dry_run import Storages
from raykd.training.cohort_students import CohortStudents
from tests.support.specs import spec

STUDENTS, HELD, REPEATS = 8, 2, 3
JSON = Path(__file__).with_suffix(".json")
BLOCKS = (2, 4, 6, 8, 10, 12)
INITS = {
    "copied with its head": Init("copied", BLOCKS, head=True),
    "copied, a new head": Init("copied", BLOCKS),
    "random": Init("random"),
}
WAYS = ("alone, as before", "alone", "as a cohort")


def teacher() -> PreTrainedModel:
    folder = packages.fetch("mpnet", packages.home())
    return read_model(AutoModelForSequenceClassification, folder, num_labels=2)[0]


def build(model: PreTrainedModel, init: Init, way: str, count: int, hold: bool) -> None:
    """`count` students, which are held as a cohort holds them, or let go one by one."""
    trials, filled, held = [spec(shape=Shape(6), init=init)] * count, student._filled, list[Any]()
    students = CohortStudents(model, trials)
    if way == WAYS[0]:
        vars(student)["_filled"] = lambda *_: None
    try:
        for trial in trials:
            of_one = students if way == WAYS[2] else CohortStudents(model, [trial])
            built = of_one.build(trial)
            if hold:
                held.append(built)
    finally:
        vars(student)["_filled"] = filled


def students() -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    model, rows = teacher(), list[dict[str, Any]]()
    for name, init in INITS.items():
        # A student with initial values of its own is built alone as it was before.
        ways = WAYS if init.head else (WAYS[0], WAYS[2])
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(REPEATS):
            for way in ways:
                began = time.process_time()
                build(model, init, way, STUDENTS, hold=False)
                seconds[way].append(time.process_time() - began)
        for way in ways:
            with Storages() as seen:
                build(model, init, way, HELD, hold=True)
            rows.append({"init": name, "way": way, "cpu_seconds": seconds[way],
                         "peak_mib": seen.peak / 2**20})  # fmt: skip
    return rows


def worker() -> None:
    """Load the teacher, read its weights, and print this process's memory once all have."""
    process = psutil.Process()
    before = process.memory_full_info()
    model = teacher()
    for weight in model.parameters():
        weight.detach().sum()
    print("ready", flush=True)
    sys.stdin.readline()
    after = process.memory_full_info()
    print(json.dumps({k: (getattr(after, k) - getattr(before, k)) / 2**20
                      for k in ("rss", "pss", "uss")}), flush=True)  # fmt: skip
    sys.stdin.readline()


def teachers(count: int = 2) -> list[dict[str, float]]:
    command = [sys.executable, "-m", "benchmarks.loading", "worker"]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
               for _ in range(count)]  # fmt: skip

    def told(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline()

    def tell(process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()

    for process in started:
        while told(process).strip() != "ready":
            pass
    for process in started:
        tell(process)
    found = [json.loads(told(process)) for process in started]
    for process in started:
        tell(process)
        process.wait()
    return found


def page(record: dict[str, Any]) -> str:
    rows = record["students"]
    lines = [
        "# Building students, loading a teacher", "",
        "Written by `python -m benchmarks.loading` from loading.json; not by hand.", "",
        f"{STUDENTS} students of six of MPNet's blocks, CPU seconds of one thread: median of "
        f"{REPEATS} repeats by turns, and their range. Memory: the most that the tensors of "
        f"{HELD} students take while they are built.", "",
        "| students | built | CPU s | to before | MiB |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for row in rows:
        spent = row["cpu_seconds"]
        first = next(r for r in rows if (r["init"], r["way"]) == (row["init"], WAYS[0]))
        share = median(a / b for a, b in zip(spent, first["cpu_seconds"], strict=True))
        lines.append(
            f"| {row['init']} | {row['way']} | {median(spent):.2f} ({min(spent):.2f} to "
            f"{max(spent):.2f}) | {share:.2f} | {row['peak_mib']:,.0f} |"
        )
    lines += [
        "", f"Two processes that hold the teacher ({record['file_mib']:,.0f} MiB of weights), MiB "
        "added by it: pages that are mapped (rss), its share of them (pss), its own (uss).", "",
        "| process | rss | pss | uss |", "|---|---|---|---|",
        *(f"| {i} | {t['rss']:,.0f} | {t['pss']:,.0f} | {t['uss']:,.0f} |"
          for i, t in enumerate(record["teachers"], 1)),
        "", f"{record['machine']['cores']} cores of {record['machine']['cpu']}, 15-minute load "
        f"{record['load']:.1f}.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    if sys.argv[1:] == ["worker"]:
        return worker()
    folder = packages.fetch("mpnet", packages.home())
    size = sum(f.stat().st_size for f in folder.glob("*.safetensors")) / 2**20
    record = {
        "machine": machine.describe(), "load": psutil.getloadavg()[2], "file_mib": size,
        "teachers": teachers(), "students": students(),
    }  # fmt: skip
    JSON.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    JSON.with_suffix(".md").write_text(page(record), encoding="utf-8")
    return None


if __name__ == "__main__":
    main()
