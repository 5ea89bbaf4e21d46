"""A sweep file opened for work: the resolved study, its ledger, its plan and its status."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from raykd.config.cluster import Cluster
from raykd.config.cohort import Cohort
from raykd.config.sweep import load, smoke_config
from raykd.data.assets import packages
from raykd.maps.layer_map import everywhere
from raykd.planning.memory.footprint import GPU_BYTES
from raykd.planning.plan import Plan, Power, make
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import GB
from raykd.planning.trials import explore_trial
from raykd.runtime import memory
from raykd.search.proposer import Tried
from raykd.sweep.interim import last_look, stopped
from raykd.sweep.records import current as current_records
from raykd.sweep.records import explored, outcome
from raykd.sweep.resources import Share
from raykd.sweep.status import Status, stand
from raykd.sweep.storage import prepare
from raykd.sweep.teacher_score import teacher_score
from raykd.teachers import teacher as teachers
from raykd.tracking import costs, ledger, store
from raykd.tracking.costs import ForecastOutcome
from raykd.tracking.delivery import Destination, send_left
from raykd.tracking.ledger import Record
from raykd.tracking.sweep_id import identity

if TYPE_CHECKING:  # raykd.tracking must turn off telemetry before MLflow is imported
    from mlflow import MlflowClient

    from raykd.analysis.stats.sequential import Look
    from raykd.training.hooks import Hooks


Reading = Callable[["MlflowClient", str, Path], tuple[Record, ...]]
MakeTeacher = Callable[[Study, "Hooks | None"], teachers.Stored]


def fine_tune_here(study: Study, hooks: Hooks | None) -> teachers.Stored:
    """Return the teacher, trained by this process if it is not stored."""
    from raykd.sweep.fine_tune import fine_tune  # imports torch and transformers

    return fine_tune(study, hooks=hooks)


@dataclass(frozen=True)
class Sweep:
    study: Study
    uri: str
    client: MlflowClient
    command: str

    @classmethod
    def open(
        cls,
        file: Path,
        tracking_uri: str | None = None,
        *,
        workers: int | None = None,
        smoke: bool = False,
        price: float | None = None,
    ) -> Sweep:
        """Read and check the file, the store and the data. Nothing is started. Raises UserError."""
        config = load(file)
        if smoke:
            config = smoke_config(config)
        if workers is not None:
            cluster = config.cluster.model_copy(update={"workers": workers})
            config = config.model_copy(update={"cluster": cluster})
        if price is not None:
            budget = config.budget.model_copy(update={"price": price})
            config = config.model_copy(update={"budget": budget})
        uri = store.resolve(tracking_uri or config.tracking.uri, Path.cwd())
        client = store.connect(uri)
        home = Path(config.cluster.storage).resolve() if config.cluster.storage else packages.home()
        prepare(home, str(file))
        study = resolve(config, home, str(file))
        return cls(study, uri, client, f"raykd sweep {file}")

    def records(self) -> tuple[Record, ...]:
        """Read every trial from the ledger now."""
        return self._read(ledger.read)

    def look_in(self) -> tuple[Record, ...]:
        """Read every trial for display: quick even where a server holds thousands."""
        return self._read(ledger.look)

    def _read(self, read: Reading) -> tuple[Record, ...]:
        experiment = store.find_experiment(self.client, self.study.config.name)
        records = () if experiment is None else read(self.client, experiment, self.study.home)
        vars(self)["known"] = records
        return records

    @cached_property
    def known(self) -> tuple[Record, ...]:
        """Records of the last read of the ledger. Reading may be slow, so a launch reads once
        before it trains and once after. A trial that ends in between is still not trained twice:
        see `Writer.open`."""
        return self.records()

    def planned(self, records: Sequence[Record], share: Share | None = None) -> Plan:
        """Return the missing trials, in cohorts that fit one job's share of the machine."""
        done = {r.trial for r in records if r.status == "finished"}
        if share is None:
            share = _assumed_share(self.study.config.cluster)
        power = Power(share.workers * share.cpus, share.workers * share.gpus, share.at_once)
        free = _memory(self.study.config.cluster, share)
        plan = make(self.study, done, explored(self.study, records), free, power)
        look = last_look(self.study, self.client, records, plan, self.looks)
        return replace(plan, seeds=look.seeds) if look and look.stop else plan

    @cached_property
    def looks(self) -> dict[object, Look]:
        """Cache of interim analyses, by number and runs: a plan is made more than once."""
        return {}

    def look(self, records: Sequence[Record]) -> Look | None:
        """Return the last look (interim analysis) whose trials have all ended; None before the
        first."""
        confirm = self.study.config.confirm
        if confirm is None or confirm.looks is None:
            return None
        plan = self.planned(records)
        return last_look(self.study, self.client, records, plan, self.looks)

    def goes_on(self, number: int) -> bool:
        """Return whether the look of that number is complete and leaves confirm trials to run.
        Results that workers could not send while MLflow was away are sent first."""
        send_left(self.destination())
        look = self.look(store.patiently(self.records))
        return look is not None and look.number >= number and look.stop is None

    def stopped(self) -> str | None:
        """Return which look ended confirm, why, and what is not run; None if none did."""
        look = self.look(self.known)
        return stopped(look, self.planned(self.known)) if look and look.stop else None

    def steps(self) -> dict[str, int]:
        """Return the optimisation steps of one trial, by phase."""
        explored = 0
        if self.study.config.explore:
            explored = explore_trial(self.study, everywhere(self.study.depth, 1)).training.steps
        return {"confirm": self.study.steps, "explore": explored}

    def status(self) -> Status:
        """Return counts of trials, failures, the strategy table, costs and the teacher's score."""
        records = self.known
        plan = self.planned(records)
        current = current_records(self.study, records, plan)
        missing = len(plan.missing) + plan.best_missing + plan.explore_missing
        config = self.study.config
        status = stand(
            config.name, config.task.metric, current, missing, len(records) - len(current),
            store.safe(self.uri), self.stopped(),
        )  # fmt: skip
        return replace(
            status, costs=self.launches(), teacher=teacher_score(self.study, self.client)
        )

    def launches(self) -> tuple[ForecastOutcome, ...]:
        """Return the forecast and the actual cost of each launch."""
        experiment = store.find_experiment(self.client, self.study.config.name)
        return () if experiment is None else costs.read(self.client, experiment)

    def teacher(
        self, hooks: Hooks | None = None, make: MakeTeacher = fine_tune_here
    ) -> teachers.Stored:
        """Return the teacher, made by `make` if it is not stored, and log its MLflow run."""
        teacher = teachers.stored(self.study.home, self.study.teacher)
        if teacher is None:
            teacher = make(self.study, hooks)
            vars(self).pop("known", None)  # training took long, so read the ledger again
        teachers.refuse_weak(teacher, self.study.config.teacher, self.study.file)
        experiment = store.experiment(self.client, self.study.config.name)
        config = self.study.config.teacher
        ledger.log_teacher(
            self.client,
            experiment,
            teacher.fingerprint,
            {k: str(v) for k, v in config.model_dump().items()},
            {
                f"test_{teacher.metric}": teacher.test,
                f"best_select_{teacher.metric}": teacher.select,
                "majority": teacher.test_majority,
                "seconds": teacher.seconds,
            },
            {"raykd.data": self.study.data},
        )
        return teacher

    def missing(self) -> int:
        """Return how many trials are still to run."""
        plan = self.planned(self.known)
        return len(plan.missing) + plan.best_missing + plan.explore_missing

    def a_student(self) -> str | None:
        """Return the trial id of the best confirmed student, by select, whose weights were
        stored."""
        keep, confirm = self.study.config.tracking.students, self.study.config.confirm
        if keep == "none" or confirm is None:
            return None
        seeds = set(confirm.seed_list if keep == "all" else [min(confirm.seed_list)])
        metric = f"best_select_{self.study.config.task.metric}"
        stored = [
            r for r in self.known
            if r.status == "finished" and r.phase == "confirm" and r.seed in seeds
            and not r.control
        ]  # fmt: skip
        best = max(stored, key=lambda r: r.metrics[metric], default=None)
        return None if best is None else best.trial

    def outcomes(self, cohort: Cohort) -> Mapping[str, Tried]:
        """Return the results of a cohort's explored trials that have ended, by trial id. Results
        that workers could not send while MLflow was away are sent first."""
        send_left(self.destination())
        records = ledger.read_cohort(self.client, self._experiment(), cohort)
        return {r.trial: tried for r in records if (tried := outcome(self.study, r))}

    def destination(self) -> Destination:
        """Return the store for results and the folder where they wait until the store takes
        them."""
        return Destination(self.uri, self.client, self._experiment(), self.study.home, self.id)

    @cached_property
    def id(self) -> str:
        """The sweep's id in its store; folders outside the store are named by it."""
        return store.patiently(lambda: identity(self.client, self._experiment()))

    def _experiment(self) -> str:
        return store.patiently(lambda: store.experiment(self.client, self.study.config.name))


def _assumed_share(cluster: Cluster) -> Share:
    """Return the share of one cohort that is assumed before a cluster is joined."""
    gpu_count = len(memory.gpus()) or (cluster.grows.gpus if cluster.grows else 0)
    gpus = cluster.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if gpu_count else 0.0
    return Share(cluster.workers, psutil.cpu_count() or 1, gpus, 1)


def _memory(cluster: Cluster, share: Share) -> int:
    """Return the bytes that one worker may use: GPU memory where it has a GPU."""
    if not share.gpus:
        return memory.available() // (share.at_once * share.workers)
    stated = cluster.gpu_memory_gb and cluster.gpu_memory_gb * GB
    return int(min(1, share.gpus) * (stated or min(memory.gpus(), default=GPU_BYTES)))
