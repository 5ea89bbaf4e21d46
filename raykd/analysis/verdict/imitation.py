"""What the students of a sweep imitated: R² by matched pair, and whether targets are distinguished.

R² is 1 - loss / loss of the best constant, on held-out tokens (training/imitation/probe.py). Values
are means over seeds, with t intervals over seeds. They are descriptive: no hypothesis.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from raykd.analysis.scores.from_runs import SchedulesOf, Trial, one_schedule, shape, weight
from raykd.analysis.scores.loss_weights import several_weights
from raykd.analysis.scores.scores import NONE, CellName
from raykd.analysis.verdict.context import Caveat, Imitation, PairImitation, TargetGain
from raykd.analysis.verdict.verdict import Cell, Verdict
from raykd.maps.layer_map import LayerMap

LEVEL = 0.95
MEAN_STATE = 0.1  # a student below this R² reproduces little but the teacher's mean state

NO_HIDDEN = re.compile(r"hidden (\S+ to )?0$")  # at the end of the text of a schedule

Pair = tuple[str, str]
"""A student state and a teacher state, by number."""


@dataclass(frozen=True)
class StudentImitation:
    """A confirmed student: its matched pairs, and R² of all pairs at the end of its training.
    `lookup` holds R² of a lookup by token, by teacher state. `cosines` holds, by student state and
    another teacher state than its target, the mean cosine of the two gradients over the training,
    and that of its null (training/imitation/gradients.py)."""

    cell: CellName
    strategy: str
    seed: int
    control: bool
    pairs: tuple[Pair, ...]
    r2: Mapping[Pair, float]
    lookup: Mapping[str, float]
    cosines: Mapping[Pair, tuple[float, float]]
    matching_ended: bool = False
    """Whether the schedule gives the hidden loss no weight at the end of training."""


def from_trials(
    trials: Iterable[Trial], task: str, controls: Collection[str] = (),
    schedules_of: SchedulesOf = one_schedule,
) -> tuple[StudentImitation, ...]:  # fmt: skip
    """Return the finished confirm trials that were measured, from the metrics of their runs, once
    for each schedule in whose cells they count."""
    students: list[StudentImitation] = []
    for trial in trials:
        r2 = _values(trial.metrics, "r2/")
        if trial.phase != "confirm" or trial.status != "finished" or not r2:
            continue
        pairs = LayerMap.parse(trial.map).pairs()
        cosines = _values(trial.metrics, "gradient_cosine_mean/")
        nulls = _values(trial.metrics, "gradient_cosine_null_mean/")
        students += [
            StudentImitation(
                (task, trial.init, shape(trial), weight(trial), schedule),
                trial.strategy, trial.seed,
                trial.strategy in controls, tuple((s.number, t.number) for s, t in pairs),
                {_pair(name): value for name, value in r2.items()},
                _values(trial.metrics, "r2_lookup/"),
                {_pair(name): (cosines[name], nulls[name]) for name in cosines if name in nulls},
                NO_HIDDEN.search(trial.params.get("loss_schedule", "")) is not None,
            )
            for schedule in schedules_of(trial)
        ]  # fmt: skip
    several = several_weights((s.cell[4], s.cell[3]) for s in students)
    return tuple(
        s if s.cell[4] in several else replace(s, cell=(*s.cell[:3], "", s.cell[4]))
        for s in students
    )


def _pair(name: str) -> Pair:
    student, teacher = name.split("_to_")
    return student, teacher


def _values(metrics: Mapping[str, float], prefix: str) -> dict[str, float]:
    return {k.removeprefix(prefix): v for k, v in metrics.items() if k.startswith(prefix)}


def add_imitation(verdict: Verdict, students: Sequence[StudentImitation]) -> Verdict:
    """Return the verdict with what was imitated in each cell, and its caveats first."""
    if not students:
        return verdict
    cells = tuple(replace(cell, imitation=of_cell(cell, students)) for cell in verdict.cells)
    several = len(cells) > 1
    found = tuple(caveat for cell in cells for caveat in caveats(cell, several))
    return replace(verdict, cells=cells, caveats=(*found, *verdict.caveats))


def of_cell(cell: Cell, students: Sequence[StudentImitation]) -> Imitation | None:
    """Return what the students of a cell imitated; None without measured students that match."""
    measured = [s for s in students if s.cell == cell.name]
    unmatched = [s for s in students if s.strategy == NONE and _at_any_weight(s, cell)]
    matched = [s for s in measured if s.pairs and any(p in s.r2 for p in s.pairs)]
    if not matched:
        return None
    return Imitation(
        pairs=tuple(_pairs(matched, unmatched)),
        gains=tuple(_gains([s for s in matched if not s.control])),
        level=LEVEL,
        matching_ended=matched[0].matching_ended,
    )


def _at_any_weight(student: StudentImitation, cell: Cell) -> bool:
    return (*student.cell[:3], student.cell[4]) == (*cell.name[:3], cell.schedule)


def _pairs(
    students: Sequence[StudentImitation], unmatched: Sequence[StudentImitation]
) -> Iterator[PairImitation]:
    """Yield each strategy's pairs, in the order of the students."""
    without = _by_seed((s, pair) for s in unmatched for pair in s.r2)
    for strategy in dict.fromkeys(s.strategy for s in students):
        of_strategy = [s for s in students if s.strategy == strategy]
        values = _by_seed((s, pair) for s in of_strategy for pair in s.pairs if pair in s.r2)
        lookup = {t: r2 for s in of_strategy for t, r2 in s.lookup.items()}
        for (student, teacher), by_seed in values.items():
            mean, interval = _mean(list(by_seed.values()))
            none = without.get((student, teacher))
            yield PairImitation(
                strategy, of_strategy[0].control, student, teacher, mean, interval,
                lookup.get(teacher), None if none is None else float(np.mean([*none.values()])),
                len(by_seed),
            )  # fmt: skip


def _by_seed(
    values: Iterable[tuple[StudentImitation, Pair]],
) -> dict[Pair, dict[int, float]]:
    by_pair: dict[Pair, dict[int, float]] = {}
    for student, pair in values:
        by_pair.setdefault(pair, {})[student.seed] = student.r2[pair]
    return by_pair


def _gains(students: Sequence[StudentImitation]) -> Iterator[TargetGain]:
    """Yield for each teacher state the R² of students matched to it minus that of students matched
    elsewhere, compared by student state and seed, since states of different depths differ."""
    teachers = dict.fromkeys(t for s in students for _, t in s.pairs)
    for teacher in sorted(teachers, key=int):
        differences: dict[int, list[float]] = {}
        for seed in dict.fromkeys(s.seed for s in students):
            here = [s for s in students if s.seed == seed]
            for state in dict.fromkeys(p[0] for s in here for p in s.pairs):
                groups: dict[bool, list[float]] = {True: [], False: []}
                for student in here:
                    targets = [t for s, t in student.pairs if s == state]
                    if targets and (state, teacher) in student.r2:
                        groups[teacher in targets].append(student.r2[state, teacher])
                if groups[True] and groups[False]:
                    gain = float(np.mean(groups[True]) - np.mean(groups[False]))
                    differences.setdefault(seed, []).append(gain)
        if differences:
            mean, interval = _mean([float(np.mean(v)) for v in differences.values()])
            yield TargetGain(teacher, mean, interval, len(differences))


def _mean(values: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """Return the mean over seeds and its t interval; None for a single seed."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return mean, None
    half = float(special.stdtrit(n - 1, (1 + LEVEL) / 2) * np.std(values, ddof=1) / np.sqrt(n))
    return mean, (mean - half, mean + half)


def caveats(cell: Cell, several: bool) -> Iterator[Caveat]:
    """Yield what the imitation of a cell says against its findings."""
    if cell.imitation is None:
        return
    schedule = f", schedule {cell.schedule}" if cell.schedule else ""
    where = f" ({cell.init}, {cell.shape} blocks{schedule})" if several else ""
    means: dict[str, list[float]] = {}
    for pair in cell.imitation.pairs:
        if not pair.control:
            means.setdefault(pair.strategy, []).append(pair.r2)
    low = {name: m for name, r2 in means.items() if (m := float(np.mean(r2))) < MEAN_STATE}
    if low:
        listed = ", ".join(f"{name} {mean:.2f}" for name, mean in low.items())
        what_now = (
            "their schedule ends without a hidden loss, so they may have left their targets again"
            if cell.imitation.matching_ended
            else "train them longer"
        )
        yield Caveat(
            "mean_state",
            f"the students imitate little more than the teacher's mean state{where}: R² below "
            f"{MEAN_STATE:g} for {listed}; {what_now}",
        )
    alike = [g.teacher for g in cell.imitation.gains if g.interval is None or g.interval[0] <= 0]
    if alike:
        blocks = f"block{'s' * (len(alike) > 1)} {', '.join(alike)}"
        yield Caveat(
            "targets_alike",
            f"the targets are not distinguished{where}: students matched to teacher {blocks} "
            f"imitate {'them' if len(alike) > 1 else 'it'} no better than those matched elsewhere",
        )
