"""The memory plan of `raykd plan` (raykd/planning/memory/dry_run.py) against what a cohort takes at
its peak."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from benchmarks.gpu import world
from benchmarks.gpu.room import Peak
from benchmarks.gpu.section import Answer, Run
from benchmarks.gpu.world import BERT, MINILM, TINY, Size
from raykd.planning.memory.dry_run import measure
from raykd.planning.memory.footprint import MEMORY_SHARE, Footprint, MemoryQuestion

BATCH = 32
ENOUGH = 10.0  # seconds in which a case is planned and measured


@dataclass(frozen=True)
class Case:
    size: Size
    students: int
    precision: str

    @property
    def name(self) -> str:
        return f"{self.size.name}, {self.students} students, {self.precision}"


CASES = (
    Case(MINILM, 1, "bf16"), Case(MINILM, 16, "bf16"), Case(BERT, 4, "bf16"), Case(BERT, 4, "fp32"),
)  # fmt: skip
FEW = (Case(TINY, 1, "fp32"), Case(TINY, 3, "fp32"))


def memory(run: Run) -> Answer:
    figures: dict[str, Any] = run.partial.setdefault("each", {})
    problems = []
    length = 16 if run.tiny else 128

    @cache
    def planned(size: Size, precision: str) -> Footprint:
        spec = world.trial(size, batch=BATCH, precision=precision)
        load = MemoryQuestion(
            spec, tuple(sorted(spec.teacher_states)), BATCH, length, bf16=precision == "bf16",
            gpu=True,
        )  # fmt: skip
        return measure(size.config(), load)

    for case in FEW if run.tiny else CASES:
        if run.left < ENOUGH:
            problems.append(f"{case.name}: not measured, for want of time")
            continue
        plan = planned(case.size, case.precision).peak(case.students)
        peak = taken(run, case, length)
        ratio = plan / peak.bytes
        figures[case.name] = {
            "plan_mib": round(plan / 2**20, 2), "peak_mib": round(peak.bytes / 2**20, 2),
            "reserved_mib": round(peak.reserved / 2**20, 2), "ratio": round(ratio, 3),
        }  # fmt: skip
        run.say(f"{case.name}: {figures[case.name]}")
        # A plan may use so much of a GPU: one that says less than this does not fit.
        if ratio < MEMORY_SHARE:
            problems.append(f"{case.name}: the plan is {ratio:.2f} of what was taken")
    how = "allocator" if run.gpu else "operators' results"
    return Answer({"measured_by": how, "lowest allowed": MEMORY_SHARE, "each": figures},
                  tuple(problems))  # fmt: skip


def taken(run: Run, case: Case, length: int) -> Peak:
    """In two steps and the evaluation of a full batch, in rows as long as can be of all tokens."""
    size = case.size
    specs = [
        world.trial(size, batch=BATCH, precision=case.precision, steps=2, seed=0, name=f"arm {i}")
        for i in range(case.students)
    ]
    rows = world.rows(max(64, 2 * size.vocab // length), size.vocab, length, length, 1, zipf=False)
    apart = torch.device("cpu")  # the student that all are copies of takes none of the device's
    first = world.materials(size, rows, apart, run.folder).build(specs[0])
    with Peak(run.device) as peak:
        made = world.materials(size, rows, run.device, run.folder, held_out=128)
        world.train(world.prebuilt(made, first), specs)
        del made
    return peak
