"""What the students of a sweep file imitate, for studies whose runs did not measure it.

    python studies/imitation.py SWEEP SEEDS STRATEGY...    # writes studies/NAME/imitation.csv
    python studies/imitation.py show NAME    # means over seeds with 95 % intervals

Trains these confirm strategies anew under the first SEEDS seeds, in one process of one thread and
without a store. A row of the table is a student and a pair of its blocks and the teacher's:
R² at the end of the training, that of a lookup by token, and for pairs of a matched student block
the mean cosine of parameter gradients over the training, with its null (docs/angles.md).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from raykd.analysis.scores.from_table import from_table
from raykd.analysis.verdict.context import Imitation
from raykd.analysis.verdict.imitation import StudentImitation, of_cell
from raykd.analysis.verdict.judge import judge
from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.data.assets import packages
from raykd.maps.layer_map import LayerMap
from raykd.planning.resolve import resolve
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.sweep.fine_tune import fine_tune
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

HERE = Path(__file__).parent
FIELDS = (
    "strategy", "control", "map", "seed", "score", "student", "teacher", "r2", "lookup", "cosine",
    "null",
)  # fmt: skip
Row = Mapping[str, Any]


def train(file: str, seeds: int, strategies: Iterable[str]) -> None:
    study = resolve(load(Path(file)), packages.home(), file)
    sources = replace(training_inputs(study, fine_tune(study).folder), angles=None)
    trainer = CohortTrainer.load(sources, Execution())
    trials = [t for t in confirm_trials(study) if t.strategy in set(strategies)]
    found: list[Row] = []
    for seed in list(dict.fromkeys(t.seed for t in trials))[:seeds]:
        memory = Memory()
        trainer.run(Cohort(tuple(t for t in trials if t.seed == seed)), memory)
        for trial in (t for t in trials if t.seed == seed):
            last: dict[str, float] = {}
            for _, metrics in memory.metrics[trial.id]:
                last.update(metrics)
            score = memory.results[trial.id].metrics[f"test_{trial.metric}"]
            student = {
                "strategy": trial.strategy, "control": trial.targets != "teacher",
                "map": str(trial.layer_map), "seed": seed, "score": score,
            }  # fmt: skip
            found += pairs(student, last)
    write(HERE / Path(file).stem / "imitation.csv", found)


def pairs(student: Row, metrics: Mapping[str, float]) -> Iterator[Row]:
    """Yield a row for each pair of blocks, from the last metrics of a student."""
    for name, r2 in metrics.items():
        if name.startswith("r2/"):
            pair = name.removeprefix("r2/")
            block, teacher = pair.split("_to_")
            yield {
                **student, "student": block, "teacher": teacher, "r2": r2,
                "lookup": metrics[f"r2_lookup/{teacher}"],
                "cosine": metrics.get(f"gradient_cosine_mean/{pair}", ""),
                "null": metrics.get(f"gradient_cosine_null_mean/{pair}", ""),
            }  # fmt: skip


def write(table: Path, rows: Iterable[Row]) -> None:
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            rounded = {k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()}
            writer.writerow(rounded)


def imitation(name: str) -> Imitation:
    """What the students of a study's table imitated: means over seeds."""
    cell = judge(from_table(HERE / name / "scores.csv")).cells[0]
    with (HERE / name / "imitation.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    students = []
    for strategy, seed in dict.fromkeys((r["strategy"], r["seed"]) for r in rows):
        own = [r for r in rows if (r["strategy"], r["seed"]) == (strategy, seed)]
        matched = LayerMap.parse(own[0]["map"]).pairs()
        students.append(
            StudentImitation(
                (cell.task, cell.init, cell.shape, cell.weight, cell.schedule), strategy, int(seed),
                own[0]["control"] == "True", tuple((s.number, t.number) for s, t in matched),
                {(r["student"], r["teacher"]): float(r["r2"]) for r in own},
                {r["teacher"]: float(r["lookup"]) for r in own},
                {(r["student"], r["teacher"]): (float(r["cosine"]), float(r["null"]))
                 for r in own if r["cosine"]},
            )
        )  # fmt: skip
    found = of_cell(cell, students)
    assert found is not None, "some students are matched"
    return found


def show(name: str) -> str:
    """Rows of the table in docs/findings.md: pairs of forward, with the control `mean_forward`."""
    pairs = imitation(name).pairs
    control = {(p.student, p.teacher): p.r2 for p in pairs if p.strategy == "mean_forward"}
    rows = []
    for p in (p for p in pairs if p.strategy == "forward"):
        assert p.interval is not None and p.lookup is not None and p.unmatched is not None
        low, high = map(_shown, p.interval)
        others = map(_shown, (p.lookup, p.unmatched, control[p.student, p.teacher]))
        cells = [f"{p.student} to {p.teacher}", f"{_shown(p.r2)} ({low} to {high})", *others]
        rows.append(f"{' | '.join(cells)} |")
    return "\n".join(rows)


def _shown(r2: float) -> str:
    return f"{round(r2, 2) + 0:.2f}"  # no -0.00


if __name__ == "__main__":
    if sys.argv[1] == "show":
        print(show(sys.argv[2]))
    else:
        torch.set_num_threads(1)
        train(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
