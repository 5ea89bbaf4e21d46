"""Scores from the trials of a ledger. Unfinished trials are reported; duplicate trials and trials
without a score are refused with a UserError."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from raykd.analysis.claims.stated import StatedClaim
from raykd.analysis.scores.endpoints import of_metrics
from raykd.analysis.scores.loss_weights import label, over_weights
from raykd.analysis.scores.scores import (
    NONE,
    Explored,
    Problem,
    ProblemKind,
    Score,
    Scores,
    refuse_one_strategy,
)
from raykd.errors import UserError


class Trial(Protocol):
    """The attributes of a ledger record that are read here."""

    @property
    def trial(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def phase(self) -> str: ...
    @property
    def strategy(self) -> str: ...
    @property
    def map(self) -> str: ...
    @property
    def init(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def error(self) -> str | None: ...
    @property
    def metrics(self) -> Mapping[str, float]: ...
    @property
    def params(self) -> Mapping[str, str]: ...


Arm = tuple[str, str, str, int, str, str]
"""(init, shape, strategy, seed, hidden weight, schedule); the weight is empty if nothing is
matched, the schedule if there is one only"""

SchedulesOf = Callable[[Trial], Sequence[str]]
"""The schedules in whose cells a trial counts: several for one that is the same under them."""


def one_schedule(_: Trial) -> Sequence[str]:
    return ("",)


def from_trials(
    trials: Iterable[Trial],
    *,
    task: str,
    metric: str,
    source: str,
    planned: Collection[Arm] = (),
    controls: Collection[str] = (),
    correct: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
    majority: float | None = None,
    endpoint_margins: Mapping[str, float] | None = None,
    schedules_of: SchedulesOf = one_schedule,
    claims: tuple[StatedClaim, ...] = (),
    sign: int = 1,
    percent: bool = True,
) -> Scores:
    """Return the scores of the finished confirm trials of one sweep, with explored scores apart.

    `planned`: every confirm trial of the sweep; unfinished ones are reported as problems.
    `correct`: by trial, (ids, correct) of its test examples. `majority`: test score of the majority
    class. `endpoint_margins`: of secondary endpoints, as stated. `schedules_of`: if the schedule is
    a factor. `claims`: those of the sweep file. `sign`: -1 if smaller scores are better. `percent`:
    whether scores are in percent; otherwise they and the scores of examples are in a unit of their
    own. Raises UserError.
    """
    records = list(trials)
    confirmed = _confirmed(records, source)
    unit = 1.0 if percent else 1 / 100  # of the scores of examples, which are shown in percent
    items = [
        _score(
            t, schedule, task, metric, source, t.strategy in controls, correct or {}, sign * unit
        )
        for t in confirmed
        for schedule in schedules_of(t)
    ]
    _refuse_one_strategy(source, items, planned, controls, claims)
    unfinished = _not_finished(records, planned, task, controls, schedules_of)
    scores, problems = over_weights(items, unfinished, sign > 0)
    factor = any(s.weight for s in scores)
    explored = tuple(
        Explored(
            task, t.init, shape(t), t.map, _metric(t, f"best_select_{metric}", source),
            weight(t) if factor else "", _steps(t), schedules_of(t)[0],
        )
        for t in records
        if t.phase == "explore" and t.status == "finished"
    )  # fmt: skip
    examples = next((len(s.ids) for s in items if s.ids is not None), 0)
    return Scores(
        scores,
        metric=metric,
        larger_is_better=sign > 0,
        resolution=100 / examples if examples and percent else 0.0,
        explored=explored,
        problems=problems,
        source=source,
        majority=majority,
        scale=100.0 if percent else None,
        endpoint_margins=endpoint_margins or {},
        claims=claims,
    )


def _confirmed(records: Sequence[Trial], source: str) -> list[Trial]:
    """Return the finished confirm trials. Raises UserError if there are none, or one is twice."""
    counts = Counter(t.trial for t in records if t.status == "finished")
    if duplicates := sorted(t for t, n in counts.items() if n > 1):
        raise UserError(
            f"{source}: trial {duplicates[0]} is finished in {counts[duplicates[0]]} runs, as if "
            "two stores had been merged; delete all but one of them in MLflow's UI"
        )
    confirmed = [t for t in records if t.phase == "confirm" and t.status == "finished"]
    if not confirmed:
        raise UserError(f"{source}: no confirmed trial is finished; run `raykd sweep` first")
    return confirmed


def _score(
    trial: Trial, schedule: str, task: str, metric: str, source: str, control: bool,
    correct: Mapping[str, tuple[np.ndarray, np.ndarray]], factor: float,
) -> Score:  # fmt: skip
    """Return a finished trial's score. `factor`: of its examples' scores, if they are numbers."""
    ids, answers = correct.get(trial.trial, (None, None))
    if answers is not None and answers.dtype != bool:
        answers = answers * factor
    return Score(
        task, trial.init, shape(trial), trial.strategy, trial.seed, metric,
        score=_metric(trial, f"test_{metric}", source), map=trial.map, control=control,
        select=trial.metrics.get(f"best_select_{metric}"), weight=weight(trial), ids=ids,
        correct=answers, endpoints=of_metrics(trial.metrics), steps=_steps(trial),
        schedule=schedule,
    )  # fmt: skip


def _refuse_one_strategy(
    source: str, items: Sequence[Score], planned: Iterable[Arm], controls: Collection[str],
    claims: Sequence[StatedClaim],
) -> None:  # fmt: skip
    """Raise UserError if fewer than two strategies have finished trials: with the command that
    trains the others if the sweep has some, else with what to add."""
    finished = {s.strategy for s in items if not s.control} - {NONE}
    waiting = {arm[2] for arm in planned} - {s.strategy for s in items} - {NONE, *controls}
    if len(finished) < 2 and waiting:
        raise UserError(
            f"{source}: only {', '.join(finished) or NONE} has finished so far, and not "
            f"{', '.join(sorted(waiting))}; a verdict compares strategies, so run `raykd sweep` "
            "first"
        )
    refuse_one_strategy(source, items, claims)


def shape(trial: Trial) -> str:
    """Return the shape of a student: `3`, or `3x256` if its width is not the teacher's."""
    depth, width = trial.params["depth"], trial.params.get("width")
    return depth if width is None else f"{depth}x{width}"


def weight(trial: Trial) -> str:
    """Return the weight of the hidden loss; empty if the map names no block."""
    stated = trial.params.get("loss_hidden")
    return label(float(stated)) if stated and re.search(r"\d", trial.map) else ""


def _steps(trial: Trial) -> int | None:
    """Return the steps of a trial's training; None if its run does not state them."""
    stated = trial.params.get("steps")
    return int(stated) if stated else None


def _metric(trial: Trial, name: str, source: str) -> float:
    value = trial.metrics.get(name)
    where = f"{source}: {trial.phase} trial {trial.trial} ({trial.strategy}, seed {trial.seed})"
    if value is None:
        raise UserError(
            f"{where} is finished without {name}; delete its run in MLflow's UI and run "
            "`raykd sweep` again"
        )
    if not math.isfinite(value):
        raise UserError(
            f"{where} has {name} = {value}; delete its run in MLflow's UI and run `raykd sweep` "
            "again, or leave the arm out"
        )
    return value


def _not_finished(
    trials: Iterable[Trial], planned: Collection[Arm], task: str, controls: Collection[str],
    schedules_of: SchedulesOf,
) -> tuple[Problem, ...]:  # fmt: skip
    """Return a problem per arm: failed trials with a reason, and trials that are not finished."""
    confirm = {
        (t.init, shape(t), t.strategy, t.seed, weight(t), schedule): t
        for t in trials if t.phase == "confirm" for schedule in schedules_of(t)
    }  # fmt: skip
    unfinished: dict[tuple[str, str, str, str, str], dict[ProblemKind, list[int]]] = {}
    reasons: dict[tuple[str, str, str, str, str], str] = {}
    for key in dict.fromkeys([*planned, *confirm]):
        t = confirm.get(key)
        if t is not None and t.status == "finished":
            continue
        arm = (*key[:3], *key[4:])
        kind = "failed" if t is not None and t.status == "failed" else "missing"
        unfinished.setdefault(arm, {}).setdefault(kind, []).append(key[3])  # type: ignore[arg-type]
        if kind == "failed" and t is not None and t.error:
            reasons.setdefault(arm, t.error.splitlines()[0])
    return tuple(
        Problem(
            kind, _says(kind, strategy, seeds, reasons.get(arm)), task, init, size, strategy,
            strategy in controls, hidden_weight, tuple(sorted(seeds)), schedule,
        )
        for arm, kinds in unfinished.items()
        for init, size, strategy, hidden_weight, schedule in [arm]
        for kind, seeds in kinds.items()
    )  # fmt: skip


def _says(kind: str, strategy: str, seeds: Iterable[int], reason: str | None) -> str:
    listed = ", ".join(map(str, sorted(seeds)))
    if kind == "failed":
        return f"{strategy} failed under seeds {listed}" + (f": {reason}" if reason else "")
    return f"{strategy} is not finished under seeds {listed}"
