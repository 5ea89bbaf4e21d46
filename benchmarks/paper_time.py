"""How long a file of sweeps/paper takes on so many spot GPUs of a kind, and what that costs, by
raykd's own plan and schedule: with a GPU's rates assumed, and what spot takes away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from scipy.stats import poisson

from benchmarks.paper_work import Parts, Work, parts, published, study
from raykd.planning import teacher_source
from raykd.planning.estimate.checkpoint_spacing import Spacing
from raykd.planning.estimate.rates import Rates, TeacherRates
from raykd.planning.estimate.simulate import (
    CONFIRM,
    ENDS,
    JOB_SECONDS,
    STORED,
    TEACHER,
    Around,
    Scenario,
    checkpoints_of,
    scenario,
)
from raykd.planning.plan import Explored, Plan, Power, make
from raykd.planning.study import Study

GB, HOUR = 10**9, 3600.0


@dataclass(frozen=True)
class Kind:
    """A kind of GPU: memory, and peak operations per second by its data sheet, dense in bf16.
    `price`: dollars per hour as a spot instance, with its host: low, likely, high."""

    name: str
    memory: int
    peak: float
    price: tuple[float, float, float]


KINDS = (
    Kind("L4", 24 * GB, 121e12, (0.25, 0.40, 0.70)),
    Kind("A100", 80 * GB, 312e12, (1.0, 1.7, 2.7)),
    Kind("H100", 80 * GB, 989e12, (2.0, 3.0, 5.0)),
)


@dataclass(frozen=True)
class Case:
    """What is not known, all of it good, likely or bad at once. `share`: of the peak that matrix
    products reach; `launch`: seconds of the host for an operator; `longer`: rows, than is assumed;
    `lost`: GPUs that spot takes away, of one in an hour."""

    share: float
    launch: float
    longer: float
    lost: float
    price: int


CASES = {
    "low": Case(0.5, 6e-6, 0.8, 0.002, 0),
    "likely": Case(0.35, 10e-6, 1.0, 0.01, 1),
    "high": Case(0.2, 20e-6, 1.25, 0.05, 2),
}


@dataclass(frozen=True)
class Storage:
    """Where checkpoints are kept: dollars a GB read and written, and a GB and month."""

    name: str
    read: float
    written: float
    held: float


PART = 10e6  # bytes of a request to S3: a part of pyarrow's multipart uploads
EFS = Storage("EFS", read=0.03, written=0.06, held=0.30)  # elastic throughput
S3 = Storage("S3", read=0.0004 / 1000 * GB / PART, written=0.005 / 1000 * GB / PART, held=0.023)
BOOT, IDLE = 300.0, 600.0  # until a node is up; until it is ended (cluster.yaml: ten minutes)
IMPORTS = 20.0  # of a worker's Python, CUDA and libraries
DISK = 1e9  # bytes a second between a node and the shared storage
AROUND = Around(workers=1, gpus=1.0)
ANSWERS = 128  # rows of an evaluation's batch
ANGLE_BATCHES = 16  # 256 rows by 32, twice, of teacher, student and an untrained student


@dataclass(frozen=True)
class Taken:
    """A file on so many GPUs. `seconds` without its teacher; `hours`: GPU-hours that are paid, the
    teacher's apart; `lost`: GPUs; `left`: cohorts that are struck more often than `cluster.retries`
    allows. Bytes: `kept`, `passing` (checkpoints there at once), `read`, `written`, and of those
    `checkpoints`."""

    gpus: int
    jobs: int
    cohorts: int
    cohort_hours: float
    seconds: float
    hours: float
    lost: float
    left: float
    kept: float
    passing: float
    read: float
    written: float
    checkpoints: float
    source: str


@dataclass
class Sweep:
    """A sweep file on one kind of GPU in one case."""

    name: str
    home: Path
    kind: Kind
    case: Case
    storage: Storage = S3
    results: dict[int, Taken] = field(default_factory=dict)
    plans: dict[int, Plan] = field(default_factory=dict)

    @cached_property
    def study(self) -> Study:
        resolved = study(self.name, self.home, self.case.longer)
        config = resolved.config
        # A store that is not on a local disk.
        shared = config.states.model_copy(update={"cache": "s3://shared/states"})
        # The rate at which machines are lost stays at its default in every case.
        prices = {"checkpoint_price": self.storage.written}
        cluster = config.cluster.model_copy(update=prices)
        budget = config.budget.model_copy(update={"price": self.price})
        changes = {"states": shared, "cluster": cluster, "budget": budget}
        return replace(resolved, config=config.model_copy(update=changes))

    @cached_property
    def parts(self) -> Parts:
        return parts(study(self.name, self.home))

    def plan(self, gpus: int) -> Plan:
        if gpus not in self.plans:
            power = Power(8, 1, gpus)
            self.plans[gpus] = make(self.study, (), Explored({}), self.kind.memory, power)
        return self.plans[gpus]

    @property
    def price(self) -> float:
        return self.kind.price[self.case.price]

    @cached_property
    def fits(self) -> bool:
        plan = self.plan(1)
        return plan.footprint.peak(1) <= plan.usable

    def computing(self, work: Work) -> float:
        return work.flop * self.case.longer / (self.kind.peak * self.case.share)

    def launching(self, work: Work) -> float:
        return work.operators * self.case.launch

    def took(self, work: Work) -> float:
        """Seconds of a call: the slower of computing and launching, which overlap."""
        return max(self.computing(work), self.launching(work))

    def answered(self, work: Work) -> float:
        """Seconds per row of an evaluation. Texts are generated token by token up to the limit;
        each token launches the operators of a whole pass."""
        task, rows = self.study.config.task, published(self.study)
        if task.kind == "classification" or task.choices is not None:
            return rows.choices * self.took(work) / ANSWERS
        writes = task.generation
        limit = task.generate
        if task.kind == "seq2seq":
            limit = writes.max_length or task.max_target_length
        return max(writes.beams * self.computing(work), limit * self.launching(work)) / ANSWERS

    @cached_property
    def rates(self) -> Rates:
        p = self.parts
        teacher_parameters = self.study.teacher_parameters
        few_rows = Work(p.answer.flop / 4, p.answer.operators)  # 32 rows of 128
        angle_seconds = ANGLE_BATCHES * (self.took(p.teach) + 2 * self.took(few_rows))
        return Rates(
            load=IMPORTS + 4 * teacher_parameters / DISK, build=1.0,
            step=self.took(p.step), teacher=self.took(p.teach), evaluate=self.answered(p.answer),
            look=angle_seconds if self.study.config.angle_rows else 0.0,
        )  # fmt: skip

    @cached_property
    def teacher_rates(self) -> TeacherRates:
        p, batch = self.parts, self.study.batch_rows
        answer_work = Work(p.teach.flop * ANSWERS / batch, p.teach.operators)
        return TeacherRates(self.rates.load, self.took(p.tune), self.answered(answer_work))

    @cached_property
    def teacher(self) -> float:
        """Seconds that one GPU needs to make the teacher."""
        return self.scene(1, self.teacher_rates).phases[TEACHER].seconds

    def scene(self, gpus: int, teacher: TeacherRates | None = None) -> Scenario:
        tokens = self.study.batch_rows * self.study.mean_tokens / self.rates.teacher
        speeds = teacher_source.Speeds(tokens, DISK, DISK, measured=False)
        teacher_source.remember(self.home, self.study.teacher, speeds)
        return scenario(self.plan(gpus), AROUND, self.rates, teacher)

    def at(self, gpus: int) -> Taken:
        if gpus not in self.results:
            self.results[gpus] = self._at(gpus)
        return self.results[gpus]

    def _at(self, gpus: int) -> Taken:
        scene, plan, config = self.scene(gpus), self.plan(gpus), self.study.config
        stored, confirm, ends = (scene.phases[p] for p in (STORED, CONFIRM, ENDS))
        cohorts = len(plan.cohorts)
        length = (confirm.held - scene.jobs * (JOB_SECONDS + self.rates.load)) / cohorts
        nbytes = len(plan.confirm) / cohorts * plan.checkpoint
        spacing = Spacing.of(config.cluster, config.budget, 1.0)
        between = min(length, spacing.interval(2 * nbytes / DISK, nbytes))
        evaluations = config.training.evaluations
        count = cohorts * checkpoints_of(plan, AROUND, evaluations, length, nbytes, DISK)
        restart = self.rates.load + JOB_SECONDS
        slowdown, cost_factor = (
            slower(self.case.lost / HOUR, between, x) for x in (restart + BOOT, restart)
        )
        held = (stored.held + confirm.held) * cost_factor + min(gpus, scene.jobs) * (BOOT + IDLE)
        lost = self.case.lost * held / HOUR
        mean = self.case.lost * length * slowdown / HOUR
        kept, checkpoints = stored.kept + confirm.kept, count * nbytes
        choice = plan.choice()
        read = 4.0 * scene.jobs * self.study.teacher_parameters
        if choice.source == "cached":
            read += plan.teacher_passes() * choice.bytes
        return Taken(
            gpus, scene.jobs, cohorts, length / HOUR,
            stored.seconds + confirm.seconds * slowdown + ends.seconds + BOOT, held / HOUR, lost,
            cohorts * float(poisson.sf(config.cluster.retries, mean)),
            kept, confirm.passing if count else 0.0, read, kept + checkpoints, checkpoints,
            choice.source,
        )  # fmt: skip


def slower(lost: float, between: float, again: float) -> float:
    """How much longer work takes that loses its machine `lost` times a second, at random, with a
    checkpoint after every so many seconds, and `again` to begin anew: of the mean time until
    `between` seconds pass without a loss (Daly 2006, Future Generation Computer Systems 22)."""
    return math.expm1(lost * between) * (1 / lost + again) / between


def ladder(most: int) -> list[int]:
    steps = {math.ceil(1.25**i) for i in range(40)} | {most}
    return sorted(n for n in steps if n <= most)


def shared_out(sweeps: Sequence[Sweep], gpus: int) -> dict[str, Taken]:
    """Distribute the GPUs over the files so that the last file ends as early as possible: greedily,
    more to the file that ends last, while that helps and GPUs are left."""
    allocation = {s.name: s.at(1) for s in sweeps}
    steps = {s.name: ladder(len(s.plan(1).confirm)) for s in sweeps}

    def ends(s: Sweep) -> float:
        return s.teacher + allocation[s.name].seconds

    while True:
        last = max(sweeps, key=ends)
        current = allocation[last.name]
        free = gpus - sum(t.gpus for t in allocation.values()) + current.gpus
        candidates = (last.at(n) for n in steps[last.name] if current.gpus < n <= free)
        better = next((t for t in candidates if t.seconds < 0.98 * current.seconds), None)
        if better is None:
            return allocation
        allocation[last.name] = better
