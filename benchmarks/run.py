"""Run the benchmarks: `python -m benchmarks.run [--quick] [--out FILE]`.

Arms take turns (A B C, A B C, ...), each in a process of its own, so that a slow minute of the
machine falls on all of them. The long form writes results.json, results.md and results.svg beside
this file; the quick one a results.json of fewer steps, repeats and arms.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks import machine, ratios, report, setting
from benchmarks.frame import Setting
from raykd.runtime.precision import faster_precision

HERE = Path(__file__).parent
PEERS = HERE / ".venv" / "bin" / "python"
THREADS = 2
WIDTH = 384  # of MiniLM's states
COUNTS = (10, 1_000, 10_000)  # finished trials in the store
COHORT_OF_SWEEP = 8


@dataclass(frozen=True)
class Arm:
    """An arm to run: its file in arms/, students per cohort, environment, estimated seconds."""

    name: str
    file: str
    students: int = 1
    peer: bool = False
    guess: float = 20.0
    precision: Literal["fp32", "bf16"] = "fp32"
    whole: bool = False


PLAIN = (
    Arm("matmul", "matmul", guess=8),
    Arm("paper", "paper", guess=110),
    Arm("practitioner", "practitioner", peer=True),
    Arm("textbrewer", "textbrewer", peer=True),
    Arm("torchdistill", "torchdistill", peer=True),
    Arm("raykd_live_1", "raykd_live", 1),
    Arm("raykd_cached_1", "raykd_cached", 1),
    Arm("raykd_live_8", "raykd_live", 8, guess=70),
    Arm("raykd_cached_8", "raykd_cached", 8, guess=70),
    Arm("limit", "limit", 8, guess=60),
    Arm("raykd_sweep", "raykd_sweep", 8, guess=200),
)
# What runs beside them in the precision that `precision: auto` chooses on this machine.
HALF = tuple(
    replace(arm, name=f"{arm.name}{ratios.BF16}", precision="bf16", guess=0.7 * arm.guess)
    for arm in PLAIN
    if arm.name in (*ratios.PEERS, ratios.OURS, "limit")
)
WHOLE = (
    *(
        Arm(sweep, peer, COHORT_OF_SWEEP, peer=True, guess=160, whole=True)
        for peer, sweep in ratios.WHOLE.items()
    ),
    Arm("raykd_whole", "raykd_sweep", COHORT_OF_SWEEP, guess=160),
)
LONG = (*PLAIN, *HALF, *WHOLE)
QUICK = tuple(
    a for a in PLAIN
    if a.name in ("matmul", "paper", "practitioner", "raykd_live_8", "raykd_cached_8", "limit")
)  # fmt: skip


@dataclass(frozen=True)
class Form:
    name: str
    arms: tuple[Arm, ...]
    rows: int
    epochs: int
    repeats: int
    curves: bool


FORMS = {
    "long": Form("long", LONG, rows=512, epochs=2, repeats=3, curves=True),
    "quick": Form("quick", QUICK, rows=256, epochs=1, repeats=2, curves=False),
}

STEPS, COHORT, TOKENS = 4, 4, 2048  # of the curves' points


@dataclass(frozen=True)
class Point:
    """A point of a curve: what is varied, its value, the arm, and how to make its setting."""

    curve: str
    x: int
    arm: Arm
    setting: Callable[[Path], Setting]


def points(main: Setting) -> list[Point]:
    """The points of all curves. Each runs once: curves show shapes, the arms' repeats give the
    figures."""
    curve_points = []
    for students in (1, 2, 4, 8, setting.MOST):
        varied = replace(main, steps=STEPS, students=students)
        curve_points += _both("students", students, lambda _, varied=varied: varied)  # type: ignore[misc]
    for length in (16, 32, 64, 128, 256, 512):
        curve_points += _both(
            "length", length, _synthetic(length, 6, TOKENS // length, main.threads)
        )
    for depth in (6, 12, 24):
        curve_points += _both("depth", depth, _synthetic(32, depth, setting.BATCH, main.threads))
    return curve_points


def _both(curve: str, x: int, make: Callable[[Path], Setting]) -> list[Point]:
    arms = [Arm(f"raykd_{source}", f"raykd_{source}", guess=9) for source in ("live", "cached")]
    return [Point(curve, x, arm, make) for arm in arms]


def _synthetic(length: int, depth: int, batch: int, threads: int) -> Callable[[Path], Setting]:
    def make(folder: Path) -> Setting:
        synthetic_setting = setting.synthetic(
            folder, length=length, depth=depth, steps=STEPS, batch=batch, threads=threads
        )
        return replace(synthetic_setting, students=COHORT)

    return make


def fitting(arms: Sequence[Arm], bf16: bool) -> list[Arm]:
    """Return the arms of a machine: where bf16 does not pay, `precision: auto` chooses fp32, and no
    arm runs in bf16."""
    chosen = [arm for arm in arms if bf16 or arm.precision == "fp32"]
    return [replace(a, precision="bf16") if bf16 and a in WHOLE else a for a in chosen]


def run_arm(arm: Arm, orders: Setting) -> dict[str, Any]:
    """Run an arm once. Raises RuntimeError with the last lines of its output if it fails."""
    folder = Path(orders.folder)
    orders = replace(orders, whole_sweep=arm.whole)
    orders_file, out = orders.write(folder / "orders.json"), folder / "out.json"
    out.unlink(missing_ok=True)
    python = str(PEERS) if arm.peer else sys.executable
    quiet = {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
    environment = {
        **os.environ, **quiet, "OMP_NUM_THREADS": str(orders.threads), "HF_HUB_OFFLINE": "1"
    }  # fmt: skip
    process = subprocess.run(
        [python, "-m", f"benchmarks.arms.{arm.file}", str(orders_file), str(out)],
        cwd=HERE.parent, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if process.returncode or not out.exists():
        raise RuntimeError(
            f"{arm.name} failed:\n{process.stdout[-1000:]}\n{process.stderr[-3000:]}"
        )
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return result


class Progress:
    """Prints a line before each arm: its name, and the estimated time left."""

    def __init__(self, guesses: float) -> None:
        self.left = guesses
        self.done = 0.0
        self.began = time.perf_counter()

    def say(self, what: str, guess: float) -> None:
        elapsed = time.perf_counter() - self.began
        pace = elapsed / self.done if self.done else 1.0
        print(f"{elapsed / 60:5.1f} min  {what}; about {self.left * pace / 60:.0f} min left")
        sys.stdout.flush()
        self.left -= guess
        self.done += guess


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("--quick", action="store_true", help="fewer arms, steps and repeats")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    form = FORMS["quick" if options.quick else "long"]
    out = options.out or HERE / ("quick.json" if options.quick else "results.json")
    results = measure(form, HERE / ".work")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if not options.quick:
        out.with_suffix(".md").write_text(report.table(results), encoding="utf-8")
        report.plot(results, out.with_suffix(".svg"))
    print(report.table(results))


def measure(form: Form, work: Path) -> dict[str, Any]:
    """Run all parts of a form; returns the content of results.json."""
    shutil.rmtree(work, ignore_errors=True)
    threads = min(THREADS, os.cpu_count() or 1)
    print("the teacher, the rows and the student; the first time the teacher is fine-tuned")
    main_setting = setting.reviews(work / "reviews", form.rows, form.epochs, threads)
    curve = points(main_setting) if form.curves else []
    faster = faster_precision(Path(main_setting.home), torch.device("cpu"), WIDTH)
    chosen = fitting(form.arms, faster == "bf16")
    guesses = form.repeats * sum(a.guess for a in chosen) + sum(p.arm.guess for p in curve)
    progress = Progress(guesses)

    arms: dict[str, list[dict[str, Any]]] = {a.name: [] for a in chosen}
    for repeat in range(form.repeats):
        for arm in chosen:
            progress.say(f"{arm.name}, repeat {repeat + 1} of {form.repeats}", arm.guess)
            orders = replace(main_setting, seed=repeat, students=arm.students)
            arms[arm.name].append(run_arm(arm, setting.in_precision(orders, arm.precision)))

    curves: dict[str, list[dict[str, Any]]] = {}
    for (name, x), together in groupby(curve, lambda p: (p.curve, p.x)):
        point_setting: Setting | None = None
        for point in together:
            progress.say(f"{point.arm.name} at {name} {x}", point.arm.guess)
            point_setting = point_setting or point.setting(work / f"{name}-{x}")
            curves.setdefault(name, []).append(_figures(point, run_arm(point.arm, point_setting)))
        shutil.rmtree(work / f"{name}-{x}", ignore_errors=True)

    return {
        "form": form.name,
        "machine": machine.describe(),
        "versions": machine.versions(PEERS if any(a.peer for a in chosen) else None),
        "setting": {
            "rows": form.rows, "tokens": main_setting.tokens, "steps": main_setting.steps,
            "batch": main_setting.batch, "threads": threads, "repeats": form.repeats,
            "maps": [str(m) for m in setting.maps(6)],
        },
        "ratios": ratios.ratios(arms),
        "quality": ratios.quality(arms),
        "utilisation": ratios.utilisation(arms, main_setting.tokens * form.epochs),
        "memory": ratios.memory(
            arms, main_setting.teacher_parameters, main_setting.student_parameters
        ),
        "curves": curves,
        "store": store_times() if form.curves else {},
        "arms": arms,
    }  # fmt: skip


def _figures(point: Point, result: dict[str, Any]) -> dict[str, Any]:
    """A curve's point: a step's time for one student, and separately that of making a cache."""
    steps, cache = result["steps"], result["cache_seconds"]
    training_seconds = result["seconds"] - cache / result["students"]
    return {
        "x": point.x, "arm": point.arm.name, "step_ms": 1000 * training_seconds / steps,
        "cache_ms": 1000 * cache / steps, "peak_mb": result["peak_mb"],
    }  # fmt: skip


def store_times() -> dict[str, Any]:
    """`raykd --help`, plan, status and a resumed launch with many finished trials."""
    from benchmarks import store

    times: dict[str, Any] = store.measure(COUNTS)
    return times


if __name__ == "__main__":
    main()
