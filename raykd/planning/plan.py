"""What a sweep would run: the trials that are missing, their cohorts, and what they cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from raykd.config.cohort import Cohort, Job, into_cohorts
from raykd.config.trial import TrialSpec
from raykd.maps.activations import Activation
from raykd.maps.layer_map import LayerMap, everywhere
from raykd.planning.cohort_size import footprint, usable
from raykd.planning.memory.footprint import Footprint
from raykd.planning.study import Study
from raykd.planning.teacher_source import (
    CPU_FLOPS,
    GPU_FLOPS,
    TeacherSourceChoice,
    cache_root,
    choose,
    explored_states,
    free_bytes,
    speeds,
)
from raykd.planning.trials import confirm_trials, explore_trial
from raykd.search.proposer import Tried, best_maps
from raykd.search.space import AnySpace, space_of

JOB_SECONDS = 300.0  # a job's workers take some fifteen seconds to start: 5 % of this


@dataclass(frozen=True)
class Explored:
    """What the ledger holds of this sweep's search."""

    tried: Mapping[LayerMap, Tried]
    """What became of every map that is done with."""
    interrupted: tuple[tuple[LayerMap, ...], ...] = ()
    """Cohorts that were cut short, with those of their maps that were done; they go first, from
    their checkpoints, which a cohort finds by all its trials."""

    @property
    def open(self) -> list[LayerMap]:
        """Maps of the interrupted cohorts that are still to be tried."""
        return [m for maps in self.interrupted for m in maps if m not in self.tried]


@dataclass(frozen=True)
class Power:
    """What one job has to train with, and how many jobs run at once."""

    cpus: float
    gpus: float
    at_once: int

    @property
    def flops(self) -> float:
        return self.gpus * GPU_FLOPS or self.cpus * CPU_FLOPS


@dataclass(frozen=True)
class Plan:
    study: Study
    space: AnySpace | None
    explore_wanted: int
    explore_done: int
    confirm: tuple[TrialSpec, ...]
    finished: frozenset[str]
    cohort_size: int
    power: Power
    usable: int
    """Bytes that a worker has for its cohort."""
    seeds: int | None = None
    """Confirm's first so many, where a look after them ended it; None: all of the file's."""

    @cached_property
    def footprint(self) -> Footprint:
        """What a worker takes of them."""
        return footprint(self.study, self.power.gpus > 0)

    @cached_property
    def checkpoint(self) -> int:
        """Bytes of a student in a checkpoint, at most: the weights that are trained, the best of
        them so far, and two moments. Beside adapters all others are as they were built."""
        trained = 4 * self.study.student_parameters
        if self.study.config.training.lora is not None:
            several = self.study.config.cluster.workers > 1  # a footprint has those of two then
            trained = self.footprint.gradients // (1 + several)
        return 4 * trained

    def stages(self, trials: Sequence[TrialSpec]) -> tuple[tuple[TrialSpec, ...], ...]:
        """Confirm's `trials` from each look to the next: whole seeds, so that cells stay paired."""
        confirm = self.study.config.confirm
        if confirm is None or confirm.looks is None:
            return (tuple(trials),)
        looks, seeds = confirm.looks, confirm.seed_list
        parts = [set(seeds[a:b]) for a, b in zip((0, *looks), looks, strict=False)]
        return tuple(tuple(t for t in trials if t.seed in part) for part in parts)

    def jobs(self, trials: Sequence[TrialSpec]) -> list[Job]:
        """The jobs of confirm's `trials` that have anything left to do, each of a few minutes.

        They are made of all trials, finished or not, so that a launch that goes on finds the same
        jobs, and with them their checkpoints; a worker passes over what is finished.
        """
        timed = [(self.seconds(c), c) for c in self._cut(trials)]
        rounds = int(sum(seconds for seconds, _ in timed) / (JOB_SECONDS * self.power.at_once))
        count = max(1, rounds) * self.power.at_once
        jobs, loads = [list[Cohort]() for _ in range(count)], [0.0] * count
        # The largest first, each to the job that has the least: they end at about the same time.
        for seconds, cohort in sorted(timed, key=lambda pair: -pair[0]):
            least = loads.index(min(loads))
            jobs[least].append(cohort)
            loads[least] += seconds
        return [tuple(job) for job in jobs if any(self._unfinished(c) for c in job)]

    def _cut(self, trials: Sequence[TrialSpec]) -> tuple[Cohort, ...]:
        """Cohorts of `trials`; the last are cut smaller where not all jobs would have as many."""
        cohorts, at_once = into_cohorts(trials, self.cohort_size), self.power.at_once
        over = len(cohorts) % at_once
        if not over:
            return cohorts
        parts = math.ceil(at_once / over)
        smaller = (
            into_cohorts(c.trials, math.ceil(len(c.trials) / parts)) for c in cohorts[-over:]
        )
        return (*cohorts[:-over], *(part for cut in smaller for part in cut))

    def _unfinished(self, cohort: Cohort) -> bool:
        return any(t.id not in self.finished for t in cohort.trials)

    def seconds(self, cohort: Cohort) -> float:
        """Roughly: six operations a parameter and token forward and backward, two forward."""
        training, study = cohort.trials[0].training, self.study
        tokens = training.steps * study.batch_rows * study.mean_tokens
        own, theirs = (sum(d.stacks) for d in (study.depth, study.base.depths))
        blocks = len(cohort.trials) * own * 6 + theirs * 2
        return tokens * blocks * 12 * study.base.width**2 / self.power.flops

    @property
    def covered(self) -> bool:
        """Whether explore tries every map there is."""
        return self.space is not None and self.explore_wanted == self.space.size()

    @property
    def missing(self) -> tuple[TrialSpec, ...]:
        return tuple(t for t in self.wanted if t.id not in self.finished)

    @property
    def wanted(self) -> tuple[TrialSpec, ...]:
        """Confirm's trials, but for those that a look called off."""
        confirm = self.study.config.confirm
        if confirm is None or self.seeds is None:
            return self.confirm
        seeds = set(confirm.seed_list[: self.seeds])
        return tuple(t for t in self.confirm if t.seed in seeds)

    @property
    def called_off(self) -> tuple[TrialSpec, ...]:
        """Those that a look spared."""
        wanted = {t.id for t in self.wanted} | self.finished
        return tuple(t for t in self.confirm if t.id not in wanted)

    @property
    def cohorts(self) -> tuple[Cohort, ...]:
        """Of confirm, where a trial is missing; explore's are proposed as it goes."""
        cut = (c for stage in self.stages(self.wanted) for c in self._cut(stage))
        return tuple(c for c in cut if self._unfinished(c))

    @property
    def explore_cohort(self) -> int:
        """Maps of a cohort: no more than share them out evenly over the jobs at once."""
        return max(1, min(self.cohort_size, math.ceil(self.explore_missing / self.power.at_once)))

    @property
    def explore_missing(self) -> int:
        return max(0, self.explore_wanted - self.explore_done)

    def teacher_states(self) -> tuple[Activation, ...]:
        """The teacher states that the missing trials' maps name, or may come to name."""
        named = {state for trial in self.missing for state in trial.teacher_states}
        if self.explore_missing:
            named |= explored_states(self.study)
        return tuple(sorted(named))

    def teacher_passes(self) -> float:
        """How often the missing cohorts go over the training rows; each has a teacher pass where
        the teacher is live."""
        study, steps = self.study, sum(c.trials[0].training.steps for c in self.cohorts)
        if self.explore_missing:
            example = explore_trial(study, everywhere(study.depth, 1))
            cohorts = math.ceil(self.explore_missing / self.explore_cohort)
            steps += cohorts * example.training.steps
        return steps * study.batch_rows / study.prepared.counts["train"]

    def choice(self) -> TeacherSourceChoice:
        """Where the missing trials get the teacher's outputs from."""
        study = self.study
        known = speeds(study, study.teacher_parameters, self.power.gpus > 0)
        free = free_bytes(cache_root(study))
        return choose(study, self.teacher_states(), self.teacher_passes(), known, free)

    @property
    def best_missing(self) -> int:
        """Confirm trials of the best explored maps, where those maps are not known yet."""
        config = self.study.config
        if config.explore is None or config.confirm is None or not self.explore_missing:
            return 0
        arms = config.confirm.best * len(self.study.hidden_weights)
        return arms * len(config.confirm.inits) * len(config.confirm.seed_list)


def by_strategy(trials: Iterable[TrialSpec]) -> str:
    """How many of each, in words."""
    counts = Counter(t.strategy for t in trials)
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def make(
    study: Study, finished: Collection[str], explored: Explored, memory: int, power: Power
) -> Plan:
    """`finished`: ids of FINISHED trials; `memory`: bytes that a cohort's worker may use,
    of its GPU where it has one."""
    explore = study.config.explore
    space, wanted = None, 0
    if explore is not None:
        space = space_of(
            study.base.depths, study.depth, explore.space, explore.skip, explore.decoder
        )
        wanted = min(explore.maps, space.size())
    done = len(explored.tried)
    confirm = study.config.confirm
    best: list[LayerMap] = []
    if confirm is not None and done >= wanted:
        best = best_maps(explored.tried, confirm.best)
    made = Plan(
        study=study,
        space=space,
        explore_wanted=wanted,
        explore_done=min(done, wanted),
        confirm=confirm_trials(study, best),
        finished=frozenset(finished),
        cohort_size=study.config.cluster.cohort or 1,
        power=power,
        usable=usable(memory, power.gpus > 0),
    )
    if study.config.cluster.cohort is None:
        return replace(made, cohort_size=made.footprint.fitting(made.usable))
    return made


def stored_bytes(plan: Plan) -> int:
    """What the sweep will have on disk at most: the teacher, kept students, checkpoints."""
    study = plan.study
    keep = study.config.tracking.students
    seeds = {t.seed for t in plan.missing}
    kept = 0 if keep == "none" else len(plan.missing)
    if keep == "first_seed" and seeds:
        kept = sum(t.seed == min(seeds) for t in plan.missing)
    largest = max((len(c.trials) for c in plan.cohorts), default=0)
    largest = max(largest, min(plan.cohort_size, plan.explore_missing))
    # The newest is written, and copied into the storage, before the one before it is dropped.
    checkpoints = 0 if study.config.cluster.checkpoints else 3 * largest * plan.checkpoint
    return 4 * (study.teacher_parameters + kept * study.student_parameters) + checkpoints
