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
from raykd.planning import schedules
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

JOB_SECONDS = 300.0  # the workers of a job take about fifteen seconds to start: 5 % of this


@dataclass(frozen=True)
class Explored:
    """What the ledger records about the search of this sweep."""

    tried: Mapping[LayerMap, Tried]
    """The outcome of each finished map."""
    interrupted: tuple[tuple[LayerMap, ...], ...] = ()
    """Cohorts that were interrupted, with their finished maps. They run first and continue from
    their checkpoints, which are found by all trials of a cohort."""

    @property
    def open(self) -> list[LayerMap]:
        """Maps of the interrupted cohorts that still have to be tried."""
        return [m for maps in self.interrupted for m in maps if m not in self.tried]


@dataclass(frozen=True)
class Power:
    """Resources of one job, and how many jobs run at once."""

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
    """Bytes that a worker may use for its cohort."""
    seeds: int | None = None
    """Number of seeds after which an interim analysis ended confirm; None: all of the file."""

    @cached_property
    def footprint(self) -> Footprint:
        """Memory of a worker in training."""
        return footprint(self.study, self.power.gpus > 0)

    @cached_property
    def checkpoint(self) -> int:
        """The most bytes of a student in a checkpoint: the trained weights, the best of them so
        far, and two moments. With adapters, a checkpoint has no other weights."""
        trained = 4 * self.study.student_parameters
        if self.study.config.training.lora is not None:
            # With several workers, a footprint has two copies of the gradients.
            summed = self.study.config.cluster.workers > 1
            trained = self.footprint.gradients // (1 + summed)
        return 4 * trained

    def stages(self, trials: Sequence[TrialSpec]) -> tuple[tuple[TrialSpec, ...], ...]:
        """Return confirm's `trials` between consecutive interim analyses: whole seeds, so cells
        stay paired."""
        confirm = self.study.config.confirm
        if confirm is None or confirm.looks is None:
            return (tuple(trials),)
        looks, seeds = confirm.looks, confirm.seed_list
        parts = [set(seeds[a:b]) for a, b in zip((0, *looks), looks, strict=False)]
        return tuple(tuple(t for t in trials if t.seed in part) for part in parts)

    def jobs(self, trials: Sequence[TrialSpec]) -> list[Job]:
        """Return the jobs with unfinished trials, each of a few minutes.

        The split covers all of confirm's `trials`, finished or not, so a resumed launch gets the
        same jobs and finds their checkpoints. A worker skips finished trials.
        """
        timed = [(self.seconds(c), c) for c in self._cut(trials)]
        rounds = int(sum(seconds for seconds, _ in timed) / (JOB_SECONDS * self.power.at_once))
        count = max(1, rounds) * self.power.at_once
        jobs, loads = [list[Cohort]() for _ in range(count)], [0.0] * count
        # Largest cohort first, to the job with the least load: jobs end at about the same time.
        for seconds, cohort in sorted(timed, key=lambda pair: -pair[0]):
            least = loads.index(min(loads))
            jobs[least].append(cohort)
            loads[least] += seconds
        return [tuple(job) for job in jobs if any(self._unfinished(c) for c in job)]

    def _cut(self, trials: Sequence[TrialSpec]) -> tuple[Cohort, ...]:
        """Return the cohorts of `trials`; the last are smaller, so jobs get equal numbers."""
        cohorts, at_once = into_cohorts(trials, self.cohort_size), self.power.at_once
        surplus = len(cohorts) % at_once
        if not surplus:
            return cohorts
        parts = math.ceil(at_once / surplus)
        smaller = (
            into_cohorts(c.trials, math.ceil(len(c.trials) / parts)) for c in cohorts[-surplus:]
        )
        return (*cohorts[:-surplus], *(part for pieces in smaller for part in pieces))

    def _unfinished(self, cohort: Cohort) -> bool:
        return any(t.id not in self.finished for t in cohort.trials)

    def seconds(self, cohort: Cohort) -> float:
        """Return a rough time: six operations per parameter and token for a training step, two for
        a forward pass."""
        training, study = cohort.trials[0].training, self.study
        tokens = training.steps * study.batch_rows * study.mean_tokens
        student_blocks, teacher_blocks = (sum(d.stacks) for d in (study.depth, study.base.depths))
        weighted_blocks = len(cohort.trials) * student_blocks * 6 + teacher_blocks * 2
        return tokens * weighted_blocks * 12 * study.base.width**2 / self.power.flops

    @property
    def covered(self) -> bool:
        """Whether explore tries every map of the space."""
        return self.space is not None and self.explore_wanted == self.space.size()

    @property
    def missing(self) -> tuple[TrialSpec, ...]:
        return tuple(t for t in self.wanted if t.id not in self.finished)

    @property
    def wanted(self) -> tuple[TrialSpec, ...]:
        """Confirm's trials without those that an interim analysis called off."""
        confirm = self.study.config.confirm
        if confirm is None or self.seeds is None:
            return self.confirm
        seeds = set(confirm.seed_list[: self.seeds])
        return tuple(t for t in self.confirm if t.seed in seeds)

    @property
    def called_off(self) -> tuple[TrialSpec, ...]:
        """Unfinished confirm trials that an interim analysis called off."""
        wanted = {t.id for t in self.wanted} | self.finished
        return tuple(t for t in self.confirm if t.id not in wanted)

    @property
    def cohorts(self) -> tuple[Cohort, ...]:
        """Confirm's cohorts with a missing trial; explore's are proposed during the search."""
        cohorts = (c for stage in self.stages(self.wanted) for c in self._cut(stage))
        return tuple(c for c in cohorts if self._unfinished(c))

    @property
    def explore_cohort(self) -> int:
        """Maps per explore cohort: at most an even share of the missing maps per concurrent job."""
        return max(1, min(self.cohort_size, math.ceil(self.explore_missing / self.power.at_once)))

    @property
    def explore_missing(self) -> int:
        return max(0, self.explore_wanted - self.explore_done)

    def teacher_states(self) -> tuple[Activation, ...]:
        """Return the teacher states that the maps of missing trials match, or may match."""
        states = {state for trial in self.missing for state in trial.teacher_states}
        if self.explore_missing:
            states |= explored_states(self.study)
        return tuple(sorted(states))

    def teacher_passes(self) -> float:
        """Return how many passes over the training rows the missing cohorts make. With a live
        teacher, each includes a teacher pass."""
        study, steps = self.study, sum(c.trials[0].training.steps for c in self.cohorts)
        if self.explore_missing:
            example = explore_trial(study, everywhere(study.depth, 1))
            cohorts = math.ceil(self.explore_missing / self.explore_cohort)
            steps += cohorts * example.training.steps
        return steps * study.batch_rows / study.prepared.counts["train"]

    def choice(self) -> TeacherSourceChoice:
        """Return where the missing trials get the teacher's outputs from."""
        study = self.study
        rates = speeds(study, study.teacher_parameters, self.power.gpus > 0)
        free_disk = free_bytes(cache_root(study))
        return choose(study, self.teacher_states(), self.teacher_passes(), rates, free_disk)

    @property
    def best_missing(self) -> int:
        """Number of confirm trials of the best explored maps, if those maps are not known yet."""
        config = self.study.config
        if config.explore is None or config.confirm is None or not self.explore_missing:
            return 0
        arms = config.confirm.best * len(self.study.hidden_weights)
        arms *= len(schedules.of_confirm(self.study))
        return arms * len(config.confirm.inits) * len(config.confirm.seed_list)


def by_strategy(trials: Iterable[TrialSpec]) -> str:
    """Return the number of trials per strategy, in words."""
    counts = Counter(t.strategy for t in trials)
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def make(
    study: Study, finished: Collection[str], explored: Explored, memory: int, power: Power
) -> Plan:
    """Return the plan of a study. `finished`: ids of FINISHED trials. `memory`: bytes that a worker
    may use, of its GPU if it has one."""
    explore = study.config.explore
    space, wanted = None, 0
    if explore is not None:
        space = space_of(
            study.base.depths,
            study.depth,
            explore.space,
            explore.skip,
            explore.decoder,
            explore.targets,
            explore.limits,
        )
        wanted = min(explore.maps, space.size())
    explored_count = len(explored.tried)
    confirm = study.config.confirm
    best: list[LayerMap] = []
    if confirm is not None and explored_count >= wanted:
        best = best_maps(explored.tried, confirm.best)
    plan = Plan(
        study=study,
        space=space,
        explore_wanted=wanted,
        explore_done=min(explored_count, wanted),
        confirm=confirm_trials(study, best),
        finished=frozenset(finished),
        cohort_size=study.config.cluster.cohort or 1,
        power=power,
        usable=usable(memory, power.gpus > 0),
    )
    if study.config.cluster.cohort is None:
        return replace(plan, cohort_size=plan.footprint.fitting(plan.usable))
    return plan


def stored_bytes(plan: Plan) -> int:
    """Return the most bytes of the sweep on disk: teacher, saved students and checkpoints."""
    study = plan.study
    policy = study.config.tracking.students
    seeds = {t.seed for t in plan.missing}
    saved = 0 if policy == "none" else len(plan.missing)
    if policy == "first_seed" and seeds:
        saved = sum(t.seed == min(seeds) for t in plan.missing)
    largest = max((len(c.trials) for c in plan.cohorts), default=0)
    largest = max(largest, min(plan.cohort_size, plan.explore_missing))
    # A checkpoint is written and copied into the storage before the previous one is deleted.
    checkpoints = 0 if study.config.cluster.checkpoints else 3 * largest * plan.checkpoint
    return 4 * (study.teacher_parameters + saved * study.student_parameters) + checkpoints
