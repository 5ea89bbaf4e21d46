"""The jobs that a plan will hand out, laid end to end on the places they will have."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from raykd.config.trial import LIKELY_EPOCHS, TrialSpec
from raykd.maps.layer_map import everywhere
from raykd.planning.estimate.rates import Rates, TeacherRates
from raykd.planning.plan import Plan
from raykd.planning.teacher_source import TeacherSourceChoice, speeds
from raykd.planning.teacher_trial import teacher_trial
from raykd.planning.trials import confirm_trials, explore_trial
from raykd.search.halving import SuccessiveHalving
from raykd.teachers.teacher import fine_tune_steps

# Of Ray on two cores, whatever the sweep (docs/performance.md).
START_SECONDS = 10.0  # until the first job is begun: Ray and Tune
JOB_SECONDS = 5.0  # a job beside its worker's own loading: driver, controller, placement, end
END_SECONDS = 4.0  # Ray's end, and a last look at the ledger
RUN_SECONDS = 0.3  # to open and close a trial's run in MLflow
NETWORK_BYTES = 1e9  # a second, between two workers of a job
ROW_BYTES = 100  # of a test prediction as it is stored
MEASURED_ROWS = 512  # over which a new teacher's speed is taken

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
    """Where the jobs run: `workers` of a job, `gpus` of a worker; `stored`: the teacher's outputs
    are in the store already."""

    workers: int
    gpus: float
    stored: bool = False

    @property
    def units(self) -> float:
        return self.workers * (self.gpus or 1)


@dataclass
class Amounts:
    """Of one phase. Wall seconds; seconds of GPUs or workers held; bytes that stay, that lie there
    for a while, and that go to and from storage or between workers."""

    seconds: float = 0.0
    held: float = 0.0
    kept: float = 0.0
    passing: float = 0.0
    traffic: float = 0.0


@dataclass
class Scenario:
    phases: dict[str, Amounts] = field(default_factory=lambda: {n: Amounts() for n in PHASES})
    spent: Spent = field(default_factory=lambda: defaultdict(float))
    """Seconds of places for jobs, by what they are spent on."""
    jobs: int = 0


@dataclass(frozen=True)
class Load:
    """A cohort that is yet to be trained. `alive`: its students on average over their `steps`,
    where some leave early; at the end so many are `tested`, and so many `kept`."""

    students: int
    alive: float
    steps: int
    rungs: int = 0
    imitates: bool = True
    tested: int = 0
    kept: int = 0


def scenario(made: Plan, around: Around, rates: Rates, teacher: TeacherRates | None) -> Scenario:
    """What the plan takes at these rates. `teacher`: None where it is made."""
    found, places = Scenario(), made.power.at_once
    if teacher is not None:
        _make_teacher(made, around, teacher, found)
    explore, confirm = _explore(made), _confirm(made)
    found.jobs = len(explore) + len(confirm)
    if not found.jobs:
        return found
    choice = made.choice()
    busy = min(places, found.jobs)
    if choice.source == "cached" and not around.stored:
        _store(made, around, rates, choice, busy, found)
    for name, jobs in ((EXPLORE, explore), (CONFIRM, confirm)):
        if jobs:
            _run(made, around, rates, choice, name, jobs, found)
    ends = found.phases[ENDS]
    ends.seconds = START_SECONDS + END_SECONDS
    found.spent[STARTING] += ends.seconds * places
    return found


def _make_teacher(made: Plan, around: Around, rates: TeacherRates, found: Scenario) -> None:
    study, own = made.study, found.phases[TEACHER]
    trial, counts = teacher_trial(study), study.prepared.counts
    looked = counts["select"] + counts["test"]
    own.seconds = rates.load + min(MEASURED_ROWS, counts["train"]) * rates.evaluate
    if study.config.teacher.fine_tune:
        steps = fine_tune_steps(study.config.teacher, counts["train"], auto=LIKELY_EPOCHS)
        own.seconds += steps * rates.step
        evaluations = round(trial.training.evaluations * steps / trial.training.steps)
        looked += counts["select"] * (evaluations - 1)
    own.seconds += looked * rates.evaluate
    own.kept = 4 * study.teacher_parameters
    own.held = own.seconds
    found.spent[FINE_TUNING] += own.seconds * made.power.at_once  # nobody else works meanwhile


def _store(
    made: Plan,
    around: Around,
    rates: Rates,
    choice: TeacherSourceChoice,
    busy: int,
    found: Scenario,
) -> None:
    """The first jobs wait for it together."""
    study, own = made.study, found.phases[STORED]
    batches = study.prepared.counts["train"] / study.batch_rows
    disk = speeds(study, 1, around.gpus > 0)
    own.seconds = batches * rates.teacher + choice.bytes / disk.write
    own.held = own.seconds * busy * around.units
    own.kept = own.traffic = choice.bytes
    found.spent[STORING] += own.seconds * made.power.at_once


def _run(
    made: Plan, around: Around, rates: Rates, choice: TeacherSourceChoice, name: str,
    jobs: Sequence[Sequence[Load]], found: Scenario,
) -> None:  # fmt: skip
    """A phase's jobs, each handed to the place that is free first."""
    own, places = found.phases[name], [0.0] * made.power.at_once
    teacher = 4 * made.study.teacher_parameters
    for job in jobs:
        spent: Spent = defaultdict(float, {LOADS: JOB_SECONDS + rates.load})
        own.traffic += around.workers * teacher
        for load in job:
            _add(spent, _cohort(made, around, rates, choice, load, own))
        took = sum(spent.values())
        heapq.heapreplace(places, places[0] + took)
        own.held += took * around.units
        _add(found.spent, spent)
    own.seconds = max(places)
    found.spent[IDLE] += sum(own.seconds - place for place in places)
    largest = max((load.students for job in jobs for load in job), default=0)
    own.passing = 2 * largest * made.checkpoint * min(len(jobs), len(places))


def _add(spent: Spent, more: Spent) -> None:
    for what, seconds in more.items():
        spent[what] += seconds


def _cohort(
    made: Plan, around: Around, rates: Rates, choice: TeacherSourceChoice, load: Load, own: Amounts,
) -> Spent:  # fmt: skip
    """Seconds by what they are spent on; bytes are added to the phase's own."""
    study, n, student = made.study, load.alive, 4 * made.study.student_parameters
    training, counts = study.config.training, study.prepared.counts
    disk = speeds(study, 1, around.gpus > 0)
    spent: Spent = defaultdict(float)
    spent[STEPS] = load.steps * n * rates.step + load.students * rates.build
    if around.workers > 1:
        gradients = 2 * student * load.steps * n
        spent[STEPS] += gradients / NETWORK_BYTES
        own.traffic += gradients * around.workers
    if load.imitates and choice.source == "live":
        spent[PASSES] = load.steps * rates.teacher
    elif load.imitates:
        read = choice.bytes * load.steps * study.batch_rows / counts["train"]
        spent[PASSES] = read / disk.read
        own.traffic += read
    looks = min(training.evaluations, load.steps)
    rows = n * (looks + load.rungs) * counts["select"] + load.tested * counts["test"]
    spent[SCORES] = rows * rates.evaluate / around.workers + load.tested * looks * rates.look
    due = sum(spent.values()) / max(1.0, study.config.cluster.checkpoint_seconds)
    checkpoints = min(looks, int(due)) * n * made.checkpoint
    kept = load.tested * counts["test"] * ROW_BYTES + load.kept * student
    spent[WRITES] = load.students * RUN_SECONDS + (2 * checkpoints + kept) / disk.write
    own.kept += kept
    own.traffic += checkpoints + kept
    return spent


def _explore(made: Plan) -> list[list[Load]]:
    """A job a cohort."""
    missing, size, explore = made.explore_missing, made.explore_cohort, made.study.config.explore
    if explore is None or not missing:
        return []
    steps = explore_trial(made.study, everywhere(made.study.depth, 1)).training.steps
    rungs = (
        SuccessiveHalving(explore.prune.at, explore.prune.drop)
        if explore.prune
        else SuccessiveHalving((), 0.5)
    )
    counts = [size] * (missing // size) + [missing % size] * bool(missing % size)
    return [[Load(n, _alive(n, rungs), steps, len(rungs.at))] for n in counts]


def _alive(size: int, rungs: SuccessiveHalving) -> float:
    """Students of a cohort on average over its steps."""
    ends = pairwise((0.0, *rungs.at, 1.0))
    left = [size, *(rungs.keep(size, i) for i in range(len(rungs.at)))]
    return sum((b - a) * n for (a, b), n in zip(ends, left, strict=True))


def _confirm(made: Plan) -> list[list[Load]]:
    """As they will be handed out; for the best maps of a search that is to come, any stand in."""
    confirm, trials = made.study.config.confirm, made.confirm
    if confirm is not None and made.best_missing:
        assert made.space is not None
        trials = confirm_trials(made.study, made.space.unseen((), confirm.best, Random(0)))
    if all(t.id in made.finished for t in trials):
        return []
    loads = ([_left(made, c.trials) for c in job] for job in made.jobs(trials))
    return [[load for load in job if load.students] for job in loads]


def _left(made: Plan, trials: Sequence[TrialSpec]) -> Load:
    left, keep = [t for t in trials if t.id not in made.finished], 0
    imitates = any(trial.learns_from_teacher for trial in left)
    if made.study.config.tracking.students == "all":
        keep = len(left)
    elif made.study.config.tracking.students == "first_seed":
        keep = sum(t.seed == made.confirm[0].seed for t in left)
    steps = trials[0].training.steps
    n = len(left)
    return Load(n, n, steps, imitates=imitates, tested=n, kept=keep)
