"""A sweep at one moment: what its file asks for, what its store holds, and the plan of the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from raykd.config.cluster import Cluster
from raykd.maps.layer_map import everywhere
from raykd.planning.memory.footprint import GPU_BYTES
from raykd.planning.plan import Plan, Power, make
from raykd.planning.study import Study
from raykd.planning.teacher_source import GB
from raykd.planning.trials import explore_trial
from raykd.runtime import memory, processors
from raykd.sweep import interim
from raykd.sweep.ledger import Ledger
from raykd.sweep.records import current, explored
from raykd.sweep.resources import Share
from raykd.tracking import store
from raykd.tracking.delivery import send_left
from raykd.tracking.ledger import Record

if TYPE_CHECKING:
    from raykd.analysis.stats.sequential import Look


@dataclass(frozen=True)
class SweepState:
    """A command reads it once and hands it on; functions over it are in the modules around."""

    study: Study
    ledger: Ledger
    share: Share
    """The machines of each cohort."""
    records: tuple[Record, ...]
    plan: Plan
    look: Look | None
    """The last interim analysis whose trials are all over; None without any."""

    @cached_property
    def current(self) -> list[Record]:
        """The records that the file, as it is now, asks for."""
        return current(self.study, self.records, self.plan)

    @cached_property
    def stages(self) -> interim.Stages:
        """Confirm's seeds in the stages in which they were judged. Reads what earlier launches
        stated."""
        ledger = self.ledger
        return interim.stages(self.study, ledger.client, ledger.find_experiment(), self.current)

    @property
    def command(self) -> str:
        """The command that runs what is missing."""
        return f"raykd sweep {self.study.file}"

    @property
    def missing(self) -> int:
        """Number of trials that are still to be run."""
        return len(self.plan.missing) + self.plan.best_missing + self.plan.explore_missing

    @property
    def stopped(self) -> str | None:
        """Which interim analysis ended confirm, why, and what is not run; None if none did."""
        return interim.stopped(self.look, self.plan) if self.look and self.look.stop else None

    def on(self, share: Share) -> SweepState:
        """Return the same records planned for other machines."""
        return self if share == self.share else state(self.study, self.ledger, share)

    def updated(self) -> SweepState:
        """Return the sweep by the records that the ledger last read."""
        if self.ledger.read() is self.records:
            return self
        return state(self.study, self.ledger, self.share)

    def refreshed(self) -> SweepState:
        """Return the sweep as it stands now: the ledger reads again."""
        store.patiently(self.ledger.refresh)
        return self.updated()


def state(study: Study, ledger: Ledger, share: Share | None = None) -> SweepState:
    """Plan what is missing, in cohorts that fit the machines of each; by default those that the
    file asks for, since no cluster was asked yet."""
    share = share or requested_share(study.config.cluster)
    records = ledger.read()
    finished = {r.trial for r in records if r.status == "finished"}
    power = Power(share.workers * share.cpus, share.workers * share.gpus, share.at_once)
    plan = make(
        study, finished, explored(study, records), _memory(study.config.cluster, share), power
    )
    look = interim.last_look(study, ledger.client, records, plan)
    if look is not None and look.stop:
        plan = replace(plan, seeds=look.seeds)
    return SweepState(study, ledger, share, records, plan, look)


def goes_on(study: Study, ledger: Ledger, number: int) -> bool:
    """Return whether interim analysis `number` was made and leaves confirm something to do. Results
    that workers could not send before they ended are sent first."""
    send_left(ledger.destination())
    store.patiently(ledger.refresh)
    look = state(study, ledger).look
    return look is not None and look.number >= number and look.stop is None


def steps(study: Study) -> dict[str, int]:
    """Return the optimisation steps of one trial, by phase."""
    explore = 0
    if study.config.explore:
        explore = explore_trial(study, everywhere(study.depth, 1)).training.steps
    return {"confirm": study.steps, "explore": explore}


def best_student(state: SweepState) -> str | None:
    """Return the trial id of the best confirmed student, by select, whose weights were stored."""
    config = state.study.config
    keep, confirm = config.tracking.students, config.confirm
    if keep == "none" or confirm is None:
        return None
    seeds = set(confirm.seed_list if keep == "all" else [min(confirm.seed_list)])
    metric, sign = f"best_select_{config.task.metric}", config.task.scored_by.sign
    stored = [
        r for r in state.records
        if r.status == "finished" and r.phase == "confirm" and r.seed in seeds and not r.control
    ]  # fmt: skip
    best = max(stored, key=lambda r: sign * r.metrics[metric], default=None)
    return None if best is None else best.trial


def requested_share(cluster: Cluster) -> Share:
    """Return the share of a cohort as far as it is known before a cluster was asked."""
    gpus_here = len(memory.gpus()) or (cluster.grows.gpus if cluster.grows else 0)
    gpus = cluster.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if gpus_here else 0.0
    return Share(cluster.workers, processors.count(), gpus, 1)


def _memory(cluster: Cluster, share: Share) -> int:
    """Return the bytes that one worker may use, of its GPU where it has one."""
    if not share.gpus:
        return memory.available() // (share.at_once * share.workers)
    stated = cluster.gpu_memory_gb and cluster.gpu_memory_gb * GB
    return int(min(1, share.gpus) * (stated or min(memory.gpus(), default=GPU_BYTES)))
