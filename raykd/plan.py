"""What a sweep would run: the trials that are missing, their cohorts, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from raykd import sites, sizes
from raykd.config import Training
from raykd.layermap import LayerMap, everywhere
from raykd.search import Tried, best_maps
from raykd.sites import decoder_state, states
from raykd.space import AnySpace, space_of
from raykd.states import CPU_FLOPS, GPU_FLOPS, Choice, cache_root, choose, free_bytes, speeds
from raykd.study import Study, confirm_trials, explore_trial
from raykd.trial import Cohort, Job, Shape, TrialSpec, into_cohorts

MIB = 2**20
COPIES = 5  # of a trained weight: itself, its gradient, two AdamW moments, the best so far
HELD = {"fp32": 4, "bf16": 2}  # bytes of a weight
RUNTIME_BYTES = 1536 * MIB  # Ray's processes and a worker's imports
ACTIVATION_BYTES = 1024 * MIB  # one student's activations at a time, and the teacher's
MEMORY_SHARE = 0.8  # of what is free when the plan is made
LARGEST_COHORT = 16
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
        own, theirs = (
            sum((d,) if isinstance(d, int) else d) for d in (study.depth, study.base.depths)
        )
        blocks = len(cohort.trials) * own * 6 + theirs * 2
        return tokens * blocks * 12 * study.base.width**2 / self.power.flops

    @property
    def covered(self) -> bool:
        """Whether explore tries every map there is."""
        return self.space is not None and self.explore_wanted == self.space.size()

    @property
    def missing(self) -> tuple[TrialSpec, ...]:
        return tuple(t for t in self.confirm if t.id not in self.finished)

    @property
    def cohorts(self) -> tuple[Cohort, ...]:
        """Of confirm, where a trial is missing; explore's are proposed as it goes."""
        return tuple(c for c in self._cut(self.confirm) if self._unfinished(c))

    @property
    def explore_cohort(self) -> int:
        """Maps of a cohort: no more than share them out evenly over the jobs at once."""
        return max(1, min(self.cohort_size, math.ceil(self.explore_missing / self.power.at_once)))

    @property
    def explore_missing(self) -> int:
        return max(0, self.explore_wanted - self.explore_done)

    def teacher_states(self) -> tuple[int, ...]:
        """The teacher states that the missing trials' maps name, or may come to name."""
        named = {state for trial in self.missing for state in trial.teacher_states}
        if self.explore_missing:
            example = explore_trial(self.study, everywhere(self.study.depth, 1))
            outputs = {0, decoder_state(0)}
            may = {*states(self.study.base.depths)} - outputs
            may |= {t for s, t in example.layer_map.pairs() if s in outputs}
            named |= sites.read(example.loss.kind, may)
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

    def choice(self) -> Choice:
        """Where the missing trials get the teacher's outputs from."""
        study = self.study
        known = speeds(study, _teacher_parameters(study), self.power.gpus > 0)
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


def make(
    study: Study, finished: Collection[str], explored: Explored, memory: int, power: Power
) -> Plan:
    """`finished`: ids of FINISHED trials; `memory`: bytes one cohort's worker may use."""
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
    return Plan(
        study=study,
        space=space,
        explore_wanted=wanted,
        explore_done=min(done, wanted),
        confirm=confirm_trials(study, best),
        finished=frozenset(finished),
        cohort_size=study.config.cluster.cohort or cohort_size(study, memory),
        power=power,
    )


def cohort_size(study: Study, memory: int) -> int:
    """Students that fit one worker beside the teacher, and an untrained one where a control
    imitates that."""
    confirm = study.config.confirm
    untrained = confirm is not None and any(s.targets == "untrained" for s in confirm.strategies)
    training = study.config.training
    teachers = HELD[training.weights] * _teacher_parameters(study) * (1 + untrained)
    free = memory * MEMORY_SHARE - RUNTIME_BYTES - ACTIVATION_BYTES - teachers
    blocks = study.shape.blocks + (study.shape.decoder_blocks or 0)
    student = student_bytes(_parameters(study), study.base.width, blocks, training)
    return max(1, min(LARGEST_COHORT, int(free / student)))


def student_bytes(parameters: int, width: int, blocks: int, training: Training) -> int:
    """What a student in training holds beside its activations. Adapters are fp32, and stand beside
    matrices that have some 24 widths of rows and columns in a block together."""
    held = HELD[training.weights]
    if training.lora is None:
        return COPIES * held * parameters
    return held * parameters + COPIES * 4 * training.lora.rank * 24 * width * blocks


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
    # A checkpoint holds weights, best weights and two moments; the newest is written, and copied
    # into the storage, before the one before it is dropped.
    checkpoints = 0 if study.config.cluster.checkpoints else 3 * largest * 4
    return 4 * (_teacher_parameters(study) + (kept + checkpoints) * _parameters(study))


def _parameters(study: Study) -> int:
    return _parameters_of(study, study.shape)


def _teacher_parameters(study: Study) -> int:
    return _parameters_of(study, Shape.of(study.base.depths))


def _parameters_of(study: Study, shape: Shape) -> int:
    labels, kind = len(study.prepared.labels), study.config.task.kind
    return sizes.parameters(study.base, shape, labels, study.home, kind)
