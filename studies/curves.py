"""What the students of a sweep imitate over their training, from the store of its runs.

    python studies/curves.py SWEEP TRACKING_URI    # writes studies/NAME.curves.csv
    python studies/curves.py show NAME STEP...    # means over seeds at these steps, for a page

A row is a student, a step and a pair of a matched student block and its teacher block: R² on
held-out tokens, and the student's select score at that step. Pairs of unmatched students are those
of forward.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from raykd.config.trial import TrialSpec
from raykd.sweep.sweep import Sweep
from raykd.tracking.logs import read

HERE = Path(__file__).parent
FIELDS = ("strategy", "seed", "step", "student", "teacher", "r2", "lookup", "select")
Row = dict[str, str]


def write(file: str, uri: str) -> None:
    sweep = Sweep.open(Path(file), uri)
    trials = sweep.state().plan.confirm
    forward = next(t for t in trials if t.strategy == "forward").layer_map.pairs()
    with table(Path(file).stem).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        writer.writeheader()
        for trial in trials:
            matched = trial.layer_map.pairs() or forward
            pairs = [(s.number, t.number) for s, t in matched]
            writer.writerows(curve(trial, pairs, uri))


def curve(trial: TrialSpec, pairs: list[tuple[str, str]], uri: str) -> Iterator[Row]:
    select = f"select_{trial.metric}"
    entries = read(trial.id, uri).entries
    lookup = {k: v for entry in entries for k, v in entry.values.items() if "lookup" in k}
    for entry in entries:
        for student, teacher in pairs:
            if f"r2/{student}_to_{teacher}" in entry.values and select in entry.values:
                yield {
                    "strategy": trial.strategy, "seed": str(trial.seed), "step": str(entry.step),
                    "student": student, "teacher": teacher,
                    "r2": f"{entry.values[f'r2/{student}_to_{teacher}']:.4f}",
                    "lookup": f"{lookup[f'r2_lookup/{teacher}']:.4f}",
                    "select": f"{entry.values[select]:.2f}",
                }  # fmt: skip


def show(name: str, steps: list[int]) -> str:
    """Return a row of a table for each step: R² of forward's pairs, then the same pairs without
    matching, then the select scores of forward and none."""
    with table(name).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    pairs = list(dict.fromkeys((r["student"], r["teacher"]) for r in rows))

    def mean(strategy: str, step: int, value: str, pair: tuple[str, str]) -> float:
        return fmean(
            float(r[value]) for r in rows
            if (r["strategy"], int(r["step"])) == (strategy, step)
            and (r["student"], r["teacher"]) == pair
        )  # fmt: skip

    lines = []
    for step in steps:
        r2 = [f"{mean(s, step, 'r2', p):.2f}" for s in ("forward", "none") for p in pairs]
        scores = [f"{mean(s, step, 'select', pairs[0]):.1f}" for s in ("forward", "none")]
        lines.append(f"| {step:,} | {' | '.join([*r2, *scores])} |")
    return "\n".join(lines)


def table(name: str) -> Path:
    return HERE / f"{name}.curves.csv"


if __name__ == "__main__":
    first, *more = sys.argv[1:]
    if first == "show":
        print(show(more[0], [int(step) for step in more[1:]]))
    else:
        write(first, more[0])
