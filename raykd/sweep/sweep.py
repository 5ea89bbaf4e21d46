"""A sweep file opened for work: resolved, its ledger read; plan it, run it, ask how it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from raykd.cluster.shared_storage import prepare
from raykd.config.cluster import Cluster
from raykd.config.cohort import Cohort
from raykd.config.sweep import load, smoke_config
from raykd.data.assets import packages
from raykd.maps.layer_map import LayerMap, everywhere
from raykd.planning.memory.footprint import GPU_BYTES
from raykd.planning.plan import Explored, Plan, Power, make
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import GB
from raykd.planning.trials import explore_trial
from raykd.runtime import memory
from raykd.search.proposer import Tried
from raykd.sweep.interim import last_look, stopped
from raykd.sweep.resources import Share
from raykd.sweep.status import Status, stand
from raykd.sweep.teacher_score import teacher_score
from raykd.teachers import teacher as teachers
from raykd.tracking import costs, ledger, store
from raykd.tracking.costs import Compared
from raykd.tracking.delivery import send_left
from raykd.tracking.ledger import Record
from raykd.tracking.sweep_id import identity

if TYPE_CHECKING:  # raykd.tracking says how MLflow is to be imported: without telemetry
    from mlflow import MlflowClient

    from raykd.analysis.stats.sequential import Look
    from raykd.training.hooks import Hooks


Reading = Callable[["MlflowClient", str, Path], tuple[Record, ...]]


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
        """Read and check everything that a mistake could hide in; nothing is started yet."""
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
        """Every trial that the ledger holds now."""
        return self._read(ledger.read)

    def look_in(self) -> tuple[Record, ...]:
        """The same for showing: where there are thousands on a server, in a moment."""
        return self._read(ledger.look)

    def _read(self, read: Reading) -> tuple[Record, ...]:
        experiment = store.find_experiment(self.client, self.study.config.name)
        found = () if experiment is None else read(self.client, experiment, self.study.home)
        vars(self)["known"] = found
        return found

    @cached_property
    def known(self) -> tuple[Record, ...]:
        """The ledger as it was last read: it may be long, and a launch reads it once before it
        trains and once after. A trial that ends in between is still not trained twice: see
        `Writer.open`."""
        return self.records()

    def planned(self, records: Sequence[Record], share: Share | None = None) -> Plan:
        """What is missing, in cohorts that fit the share of the machine that each one gets."""
        done = {r.trial for r in records if r.status == "finished"}
        if share is None:
            share = _foreseen(self.study.config.cluster)
        power = Power(share.workers * share.cpus, share.workers * share.gpus, share.at_once)
        free = _memory(self.study.config.cluster, share)
        made = make(self.study, done, self.explored(records), free, power)
        look = last_look(self, records, made)
        return replace(made, seeds=look.seeds) if look and look.stop else made

    @cached_property
    def looks(self) -> dict[object, Look]:
        """What was found at looks, by their number and runs: a plan is made more often."""
        return {}

    def look(self, records: Sequence[Record]) -> Look | None:
        """The last look whose trials are all over; None without any."""
        confirm = self.study.config.confirm
        if confirm is None or confirm.looks is None:
            return None
        return last_look(self, records, self.planned(records))

    def goes_on(self, number: int) -> bool:
        """Whether the look of that number was taken and leaves confirm something to do; after what
        workers could not send, if MLflow was away when they ended."""
        send_left(self, self._experiment())
        look = self.look(store.patiently(self.records))
        return look is not None and look.number >= number and look.stop is None

    def stopped(self) -> str | None:
        """Which look ended confirm, why, and what is not run for it; None where none did."""
        look = self.look(self.known)
        return stopped(look, self.planned(self.known)) if look and look.stop else None

    def explored(self, records: Iterable[Record]) -> Explored:
        """What the ledger holds of this very search: same data, teacher, student and training."""
        config = self.study.config
        if config.explore is None:
            return Explored({})
        family = self._family()
        tried: dict[LayerMap, Tried] = {}
        cohorts: dict[str, list[LayerMap]] = {}
        for record in records:
            if record.phase != "explore" or record.family != family:
                continue
            bare = LayerMap.parse(record.map).bare
            cohorts.setdefault(record.cohort, []).append(bare)
            if found := self.outcome(record):
                tried[bare] = found
        cut_short = tuple(
            tuple(maps) for maps in cohorts.values() if any(m not in tried for m in maps)
        )
        return Explored(tried, cut_short)

    def outcome(self, record: Record) -> Tried | None:
        """What became of an explored trial; None while it is not over."""
        if record.status == "finished":
            return Tried(record.metrics[f"best_select_{self.study.config.task.metric}"])
        if record.status == "pruned":
            return Tried(record.metrics["pruned_score"], int(record.metrics["pruned_step"]))
        return Tried(None) if record.status == "failed" else None

    def plan(self) -> dict[str, Any]:
        """What would run, in plain values: the content of `raykd plan`."""
        from raykd.sweep.overview import outline

        return outline(self)

    def steps(self) -> dict[str, int]:
        """Optimisation steps of one trial, by phase."""
        explored = 0
        if self.study.config.explore:
            explored = explore_trial(self.study, everywhere(self.study.depth, 1)).training.steps
        return {"confirm": self.study.steps, "explore": explored}

    def current(self, records: Iterable[Record], made: Plan) -> list[Record]:
        """The trials that the file, as it is now, asks for. Others of its name stay, and count for
        nothing. What the best explored maps are is open until explore is through."""
        wanted = {t.id for t in made.confirm}
        family = self._family()
        return [
            r
            for r in records
            if (r.phase == "explore" and r.family == family)
            or (r.phase == "confirm" and r.trial in wanted)
            or (made.best_missing and r.strategy.startswith("best_"))
        ]

    def _family(self) -> str | None:
        """The family of the file's explore trials."""
        if self.study.config.explore is None:
            return None
        return explore_trial(self.study, everywhere(self.study.depth, 1)).family

    def status(self) -> Status:
        records = self.known
        made = self.planned(records)
        current = self.current(records, made)
        missing = len(made.missing) + made.best_missing + made.explore_missing
        config = self.study.config
        found = stand(
            config.name, config.task.metric, current, missing, len(records) - len(current),
            store.safe(self.uri), self.stopped(),
        )  # fmt: skip
        return replace(found, costs=self.launches(), teacher=teacher_score(self))

    def launches(self) -> tuple[Compared, ...]:
        """What each launch was to take, and what it took."""
        experiment = store.find_experiment(self.client, self.study.config.name)
        return () if experiment is None else costs.read(self.client, experiment)

    def teacher(self, hooks: Hooks | None = None, nodes: Share | None = None) -> teachers.Stored:
        """The teacher, made if need be, and its MLflow run. `nodes`: what a job gets of the joined
        cluster, whose nodes make it; else this process does."""
        found = teachers.stored(self.study.home, self.study.teacher)
        if found is None:
            if nodes is not None:
                from raykd.cluster.teacher import on_a_node

                found = on_a_node(self.study, nodes, hooks)
            else:
                from raykd.sweep.fine_tune import fine_tune

                found = fine_tune(self.study, hooks=hooks)
            vars(self).pop("known", None)  # that took a while
        teachers.refuse_weak(found, self.study.config.teacher, self.study.file)
        experiment = store.experiment(self.client, self.study.config.name)
        config = self.study.config.teacher
        ledger.log_teacher(
            self.client,
            experiment,
            found.fingerprint,
            {k: str(v) for k, v in config.model_dump().items()},
            {
                f"test_{found.metric}": found.test,
                f"best_select_{found.metric}": found.select,
                "majority": found.test_majority,
                "seconds": found.seconds,
            },
            {"raykd.data": self.study.data},
        )
        return found

    def missing(self) -> int:
        """How many trials are still to run."""
        made = self.planned(self.known)
        return len(made.missing) + made.best_missing + made.explore_missing

    def a_student(self) -> str | None:
        """The trial id of the best confirmed student by select whose weights were stored."""
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
        """What the ledger holds of a cohort's explored trials that are over, by trial id; after
        what their workers could not send, if MLflow was away when they ended."""
        experiment = self._experiment()
        send_left(self, experiment)
        found = ledger.read_cohort(self.client, experiment, cohort)
        return {r.trial: tried for r in found if (tried := self.outcome(r))}

    @cached_property
    def id(self) -> str:
        """Names the sweep in its store, wherever that lies; folders outside are named by it."""
        return store.patiently(lambda: identity(self.client, self._experiment()))

    def _experiment(self) -> str:
        return store.patiently(lambda: store.experiment(self.client, self.study.config.name))


def _foreseen(cluster: Cluster) -> Share:
    """The share of a cohort where nobody has asked a cluster yet."""
    known = len(memory.gpus()) or (cluster.grows.gpus if cluster.grows else 0)
    gpus = cluster.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if known else 0.0
    return Share(cluster.workers, psutil.cpu_count() or 1, gpus, 1)


def _memory(cluster: Cluster, share: Share) -> int:
    """Bytes that one worker may use, of its GPU where it has one."""
    if not share.gpus:
        return memory.available() // (share.at_once * share.workers)
    stated = cluster.gpu_memory_gb and cluster.gpu_memory_gb * GB
    return int(min(1, share.gpus) * (stated or min(memory.gpus(), default=GPU_BYTES)))
