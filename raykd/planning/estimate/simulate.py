"""Simulates a launch of a plan: every job goes to the slot that is free first."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from raykd.config.trial import LIKELY_EPOCHS, TrialSpec
from raykd.maps.layer_map import everywhere
from raykd.planning.estimate.checkpoint_spacing import Spacing
from raykd.planning.estimate.rates import Rates, TeacherRates
from raykd.planning.plan import Plan
from raykd.planning.teacher_source import TeacherSourceChoice, speeds
from raykd.planning.teacher_trial import teacher_trial
from raykd.planning.trials import confirm_trials, explore_trial
from raykd.search.halving import SuccessiveHalving
from raykd.teachers.teacher import fine_tune_steps

# Overhead of Ray, measured on two cores; the sweep does not change it (docs/performance.md).
START_SECONDS = 10.0  # Ray and Tune, until the first job starts
JOB_SECONDS = 5.0  # per job, without loading: driver, controller, placement, end
END_SECONDS = 4.0  # Ray's shutdown and the last read of the ledger
RUN_SECONDS = 0.3  # to open and close the MLflow run of a trial
NETWORK_BYTES = 1e9  # per second, between two workers of a job
ROW_BYTES = 100  # a stored test prediction
MEASURED_ROWS = 512  # rows on which the speed of a new teacher is measured

PHASES = ("teacher", "stored states", "explore", "confirm", "start and end")
TEACHER, STORED, EXPLORE, CONFIRM, ENDS = PHASES
STEPS, PASSES, SCORES, LOADS, WRITES, IDLE = (
    "students' steps", "the teacher's passes", "evaluation", "starting jobs",
    "checkpoints and results", "waiting for the last jobs",
)  # fmt: skip
FINE_TUNING, STORING, STARTING = "fine-tuning the teacher", "storing its outputs", "Ray's start"

Spent = defaultdict[str, float]


@dataclass(frozen=True)
class Around:
    """Resources of a job: its `workers`, and `gpus` per worker. `stored`: whether the store has the
    outputs of the teacher already."""

    workers: int
    gpus: float
    stored: bool = False

    @property
    def units(self) -> float:
        return self.workers * (self.gpus or 1)


@dataclass
class Amounts:
    """Cost of one phase. `seconds`: wall time. `held`: seconds of GPUs, or of workers. `kept`:
    bytes left on disk. `passing`: bytes on disk for a while. `traffic`: bytes sent to and from
    storage and between workers."""

    seconds: float = 0.0
    held: float = 0.0
    kept: float = 0.0
    passing: float = 0.0
    traffic: float = 0.0


@dataclass
class Scenario:
    phases: dict[str, Amounts] = field(default_factory=lambda: {n: Amounts() for n in PHASES})
    spent: Spent = field(default_factory=lambda: defaultdict(float))
    """Seconds of job slots, by activity."""
    jobs: int = 0


@dataclass(frozen=True)
class Load:
    """A cohort that is still to be trained. `alive`: mean number of students over the `steps`,
    since pruned students leave early. `tested` and `kept`: how many are tested and saved."""

    students: int
    alive: float
    steps: int
    rungs: int = 0
    imitates: bool = True
    tested: int = 0
    kept: int = 0


def scenario(plan: Plan, around: Around, rates: Rates, teacher: TeacherRates | None) -> Scenario:
    """Return what the plan costs at these rates. `teacher`: None if the teacher exists already."""
    result, slots = Scenario(), plan.power.at_once
    if teacher is not None:
        _make_teacher(plan, around, teacher, result)
    explore, confirm = _explore(plan), _confirm(plan)
    result.jobs = len(explore) + len(confirm)
    if not result.jobs:
        return result
    choice = plan.choice()
    busy = min(slots, result.jobs)
    if choice.source == "cached" and not around.stored:
        _store(plan, around, rates, choice, busy, result)
    for name, jobs in ((EXPLORE, explore), (CONFIRM, confirm)):
        if jobs:
            _run(plan, around, rates, choice, name, jobs, result)
    ends = result.phases[ENDS]
    ends.seconds = START_SECONDS + END_SECONDS
    result.spent[STARTING] += ends.seconds * slots
    return result


def _make_teacher(plan: Plan, around: Around, rates: TeacherRates, result: Scenario) -> None:
    study, amounts = plan.study, result.phases[TEACHER]
    trial, counts = teacher_trial(study), study.prepared.counts
    evaluated_rows = counts["select"] + counts["test"]
    amounts.seconds = rates.load + min(MEASURED_ROWS, counts["train"]) * rates.evaluate
    if study.config.teacher.fine_tune:
        steps = fine_tune_steps(study.config.teacher, counts["train"], auto=LIKELY_EPOCHS)
        amounts.seconds += steps * rates.step
        evaluations = round(trial.training.evaluations * steps / trial.training.steps)
        evaluated_rows += counts["select"] * (evaluations - 1)
    amounts.seconds += evaluated_rows * rates.evaluate
    amounts.kept = 4 * study.teacher_parameters
    amounts.held = amounts.seconds
    result.spent[FINE_TUNING] += amounts.seconds * plan.power.at_once  # no job runs meanwhile


def _store(
    plan: Plan,
    around: Around,
    rates: Rates,
    choice: TeacherSourceChoice,
    busy: int,
    result: Scenario,
) -> None:
    """Add the cost of storing the teacher's outputs; the first `busy` jobs all wait for it."""
    study, amounts = plan.study, result.phases[STORED]
    batches = study.prepared.counts["train"] / study.batch_rows
    disk = speeds(study, 1, around.gpus > 0)
    amounts.seconds = batches * rates.teacher + choice.bytes / disk.write
    amounts.held = amounts.seconds * busy * around.units
    amounts.kept = amounts.traffic = choice.bytes
    result.spent[STORING] += amounts.seconds * plan.power.at_once


def _run(
    plan: Plan, around: Around, rates: Rates, choice: TeacherSourceChoice, name: str,
    jobs: Sequence[Sequence[Load]], result: Scenario,
) -> None:  # fmt: skip
    """Add the cost of a phase; each job goes to the slot that is free first."""
    amounts, slots = result.phases[name], [0.0] * plan.power.at_once
    teacher_bytes = 4 * plan.study.teacher_parameters
    for job in jobs:
        spent: Spent = defaultdict(float, {LOADS: JOB_SECONDS + rates.load})
        amounts.traffic += around.workers * teacher_bytes
        for load in job:
            _add(spent, _cohort(plan, around, rates, choice, load, amounts))
        job_seconds = sum(spent.values())
        heapq.heapreplace(slots, slots[0] + job_seconds)
        amounts.held += job_seconds * around.units
        _add(result.spent, spent)
    amounts.seconds = max(slots)
    result.spent[IDLE] += sum(amounts.seconds - end for end in slots)
    largest = max((load.students for job in jobs for load in job), default=0)
    amounts.passing = 2 * largest * plan.checkpoint * min(len(jobs), len(slots))


def _add(total: Spent, addition: Spent) -> None:
    for activity, seconds in addition.items():
        total[activity] += seconds


def _cohort(
    plan: Plan, around: Around, rates: Rates, choice: TeacherSourceChoice, load: Load,
    amounts: Amounts,
) -> Spent:  # fmt: skip
    """Return the seconds of a cohort by activity, and add its bytes to the phase's amounts."""
    study, alive, student_bytes = plan.study, load.alive, 4 * plan.study.student_parameters
    training, counts = study.config.training, study.prepared.counts
    disk = speeds(study, 1, around.gpus > 0)
    spent: Spent = defaultdict(float)
    spent[STEPS] = load.steps * alive * rates.step + load.students * rates.build
    if around.workers > 1:
        gradients = 2 * student_bytes * load.steps * alive
        spent[STEPS] += gradients / NETWORK_BYTES
        amounts.traffic += gradients * around.workers
    if load.imitates and choice.source == "live":
        spent[PASSES] = load.steps * rates.teacher
    elif load.imitates:
        read_bytes = choice.bytes * load.steps * study.batch_rows / counts["train"]
        spent[PASSES] = read_bytes / disk.read
        amounts.traffic += read_bytes
    evaluations = min(training.evaluations, load.steps)
    rows = alive * (evaluations + load.rungs) * counts["select"] + load.tested * counts["test"]
    spent[SCORES] = rows * rates.evaluate / around.workers + load.tested * evaluations * rates.look
    size = alive * plan.checkpoint
    count = checkpoints_of(plan, around, evaluations, sum(spent.values()), size, disk.write)
    checkpoints = count * size
    kept_bytes = load.tested * counts["test"] * ROW_BYTES + load.kept * student_bytes
    spent[WRITES] = load.students * RUN_SECONDS + (2 * checkpoints + kept_bytes) / disk.write
    amounts.kept += kept_bytes
    amounts.traffic += checkpoints + kept_bytes
    return spent


def checkpoints_of(
    plan: Plan, around: Around, evaluations: int, seconds: float, nbytes: float, speed: float
) -> int:
    """Return how many checkpoints a cohort stores in so many seconds: each of `nbytes`, which are
    written, and copied into the storage, at `speed` bytes per second."""
    config = plan.study.config
    if config.cluster.checkpoint_seconds is not None:
        return min(evaluations, int(seconds / max(1.0, config.cluster.checkpoint_seconds)))
    spacing = Spacing.of(config.cluster, config.budget, around.gpus)
    first = spacing.first(nbytes)
    if seconds < first:
        return 0
    return 1 + int((seconds - first) / spacing.interval(2 * nbytes / speed, nbytes))


def _explore(plan: Plan) -> list[list[Load]]:
    """Return the explore jobs, one cohort each."""
    missing, size, explore = plan.explore_missing, plan.explore_cohort, plan.study.config.explore
    if explore is None or not missing:
        return []
    steps = explore_trial(plan.study, everywhere(plan.study.depth, 1)).training.steps
    rungs = (
        SuccessiveHalving(explore.prune.at, explore.prune.drop)
        if explore.prune
        else SuccessiveHalving((), 0.5)
    )
    counts = [size] * (missing // size) + [missing % size] * bool(missing % size)
    return [[Load(n, _alive(n, rungs), steps, len(rungs.at))] for n in counts]


def _alive(size: int, rungs: SuccessiveHalving) -> float:
    """Return the mean number of students of a cohort over its steps."""
    intervals = pairwise((0.0, *rungs.at, 1.0))
    counts = [size, *(rungs.keep(size, i) for i in range(len(rungs.at)))]
    return sum((end - start) * n for (start, end), n in zip(intervals, counts, strict=True))


def _confirm(plan: Plan) -> list[list[Load]]:
    """Return the confirm jobs as they will be submitted. Random maps stand in for the best maps
    of a search that has not run yet."""
    confirm, trials = plan.study.config.confirm, plan.confirm
    if confirm is not None and plan.best_missing:
        assert plan.space is not None
        trials = confirm_trials(plan.study, plan.space.unseen((), confirm.best, Random(0)))
    if all(t.id in plan.finished for t in trials):
        return []
    loads = ([_unfinished_load(plan, c.trials) for c in job] for job in plan.jobs(trials))
    return [[load for load in job if load.students] for job in loads]


def _unfinished_load(plan: Plan, trials: Sequence[TrialSpec]) -> Load:
    missing, kept = [t for t in trials if t.id not in plan.finished], 0
    imitates = any(trial.learns_from_teacher for trial in missing)
    if plan.study.config.tracking.students == "all":
        kept = len(missing)
    elif plan.study.config.tracking.students == "first_seed":
        kept = sum(t.seed == plan.confirm[0].seed for t in missing)
    steps = trials[0].training.steps
    count = len(missing)
    return Load(count, count, steps, imitates=imitates, tested=count, kept=kept)
