"""Tune's searcher: suggests explore's proposals first, then the jobs of confirm's design.

A job is a Tune trial: one cohort of explore, or enough cohorts of confirm that starting the workers
costs little compared with training.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ray.tune.search import Searcher

from raykd.config.cohort import Cohort, Job, packed
from raykd.config.trial import TrialSpec
from raykd.maps.layer_map import LayerMap
from raykd.planning.plan import Explored, Plan
from raykd.planning.trials import confirm_trials, explore_trial
from raykd.runtime.memo import digest
from raykd.search.proposer import Proposer, Tried

Outcomes = Callable[[Cohort], Mapping[str, Tried]]
"""Returns the results of a cohort's trials that have ended, by trial id."""
GoesOn = Callable[[int], bool]
"""Returns whether the look of this number is complete and leaves confirm trials to run."""


class JobSearcher(Searcher):  # type: ignore[misc]
    """Explore comes first, so that the best maps join the confirm cohorts of their seeds.

    Its only state besides the ledger is which jobs are running, so a new launch can rebuild it.
    """

    def __init__(
        self, plan: Plan, explored: Explored, outcomes: Outcomes, most: int | None = None,
        goes_on: GoesOn = lambda look: True,
    ) -> None:  # fmt: skip
        """`most`: maximum number of trials to start."""
        super().__init__(metric=None, mode=None)
        self._left = sys.maxsize if most is None else most
        self._stopped = False
        self.begun: set[str] = set()
        """Ids of the trials that were started."""
        self.fault: Exception | None = None
        """Error that stops the search, such as a ledger that does not answer."""
        self._plan = plan
        self._outcomes = outcomes
        self._out: dict[str, Job] = {}
        self._goes_on = goes_on
        self._confirm: deque[Job] = deque()
        self._stages: deque[tuple[TrialSpec, ...]] | None = None
        self._stage = 0
        self._proposer: Proposer | None = None
        self._interrupted: deque[tuple[LayerMap, ...]] = deque()
        explore = plan.study.config.explore
        if explore is not None and plan.explore_missing:
            assert plan.space is not None
            history = sorted(explored.tried.items(), key=lambda item: str(item[0]))
            self._proposer = Proposer(plan.space, explore.sampler, explore.seed, history)
            self._interrupted.extend(explored.interrupted)
            for layer_map in explored.open:
                self._proposer.reserve(layer_map)
        self._to_ask = plan.explore_missing - len(explored.open)

    def suggest(self, trial_id: str) -> Any:
        """Return the next job; None while explore has running jobs; FINISHED at the end."""
        if self._stopped or not self._left:
            return Searcher.FINISHED
        cohort = self._next_explore() if self._proposer else None
        if cohort is not None:
            job: Job = (cohort,)
        else:
            if self._proposer and any(_explores(job) for job in self._out.values()):
                return None
            confirm_job = self._next_confirm()
            if not isinstance(confirm_job, tuple):
                return confirm_job
            job = _at_most(self._left, confirm_job, self._plan.finished)
        begun = {t.id for c in job for t in c.trials} - self._plan.finished
        self._left -= len(begun)
        self.begun |= begun
        self._out[trial_id] = job
        return {"id": digest([c.id for c in job]), "job": packed(job)}

    def _next_explore(self) -> Cohort | None:
        assert self._proposer is not None
        if self._interrupted:
            maps = list(self._interrupted.popleft())[: self._left]
        else:
            count = min(self._plan.explore_cohort, max(0, self._to_ask), self._left)
            maps = self._proposer.ask(count)
            self._to_ask -= len(maps)
        if not maps:
            return None
        return Cohort(tuple(explore_trial(self._plan.study, m) for m in maps))

    def _next_confirm(self) -> Job | str | None:
        """Return the next job of the current stage, or of the next stage after a look; None while
        the look waits for running jobs; FINISHED at the end."""
        if self._stages is None:
            self._stages = deque(self._plan.stages(self._confirm_trials()))
        while not self._confirm:
            if not self._stages:
                return str(Searcher.FINISHED)
            if self._stage and self._out:
                return None
            if self._stage and not self._goes_on(self._stage):
                self._stages.clear()
                continue
            self._confirm.extend(self._plan.jobs(self._stages.popleft()))
            self._stage += 1
        return self._confirm.popleft()

    def _confirm_trials(self) -> tuple[TrialSpec, ...]:
        if self._proposer is None:
            return self._plan.confirm
        study, confirm = self._plan.study, self._plan.study.config.confirm
        return confirm_trials(study, self._proposer.best(confirm.best if confirm else 0))

    def stop(self) -> None:
        """Start no more jobs."""
        self._stopped = True

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None: ...

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        job = self._out.pop(trial_id)
        try:
            if self._proposer is not None and _explores(job):
                self._learn(self._proposer, job)
            elif error:
                self._outcomes(job[0])  # raises if the ledger is away: the next job would fail too
        except Exception as fault:
            # Tune would treat it as the trial's error and retry the trial, so `Meter` raises it.
            self.fault = fault

    def _learn(self, proposer: Proposer, job: Job) -> None:
        for cohort in job:
            outcomes = self._outcomes(cohort)
            for trial in cohort.trials:
                # The search space holds maps without embeddings, which follow from the map.
                bare = trial.layer_map.bare
                if proposer.waits_for(bare):
                    proposer.tell(bare, outcomes.get(trial.id, Tried(None)))

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: MLflow is the ledger, and a new launch reads it."""

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a sweep goes on from MLflow, by running its file again")


def _at_most(count: int, job: Job, finished: Collection[str]) -> Job:
    """Return the job with at most `count` trials that are not finished."""
    cohorts = []
    for cohort in job:
        trials = []
        for trial in cohort.trials:
            if trial.id in finished or count > 0:
                trials.append(trial)
            count -= trial.id not in finished
        if trials:
            cohorts.append(Cohort(tuple(trials)))
    return tuple(cohorts)


def _explores(job: Job) -> bool:
    return job[0].trials[0].phase == "explore"
