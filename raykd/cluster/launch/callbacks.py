"""The interface of a sweep's observers, and the Tune callback that forwards reports to them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from ray import cloudpickle
from ray.tune.progress_reporter import TrialProgressCallback

from raykd.cluster.launch import placement_groups
from raykd.cluster.launch.checkpoints import STORAGE_NOTE
from raykd.cluster.launch.driver import GIVEN_UP
from raykd.config.cohort import Cohort, Job, unpacked
from raykd.errors import last_line


class Watch(Protocol):
    """An observer of a running sweep."""

    def begin(
        self, explore: int, confirm: int, steps: Mapping[str, int], finished: Collection[str]
    ) -> None:
        """Start. `explore`, `confirm`: number of trials to run by phase. `steps`: optimisation
        steps of one trial, by phase. `finished`: ids of trials that have ended, which may share a
        cohort with others that have not."""

    def started(self, job: Job) -> None: ...

    def tick(self, cohort: Cohort, step: int, examples: int, scores: Mapping[str, float]) -> None:
        """Report that `step` of the cohort's steps are done, with `examples` student rows since the
        last tick."""

    def failed(self, problem: str) -> None:
        """Report a problem that a person should look at, in one line."""

    def ended(self, job: Job, error: str | None) -> None: ...

    def now(self) -> Mapping[str, Any]:
        """Return the whole state as plain values; called from another thread."""


class Listener(TrialProgressCallback):  # type: ignore[misc]
    """Forwards the reports of jobs to a `Watch`.

    It derives from Tune's own progress callback to replace it, because that one prints even if it
    is told not to.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._jobs: dict[str, dict[str, Cohort]] = {}
        self._given_up: dict[str, str] = {}

    def _job(self, trial: Any) -> dict[str, Cohort]:
        if trial.trial_id not in self._jobs:
            cohorts = unpacked(trial.config["job"])
            self._jobs[trial.trial_id] = {c.id: c for c in cohorts}
        return self._jobs[trial.trial_id]

    def _cohort(self, trial: Any, result: Any) -> Cohort:
        cohorts = self._job(trial)
        if result["cohort"] not in cohorts:  # of a job that was split after a failure
            trials = {t.id: t for c in cohorts.values() for t in c.trials}
            cohorts[result["cohort"]] = Cohort(tuple(trials[t] for t in result["trials"]))
        return cohorts[result["cohort"]]

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._watch.started(tuple(self._job(trial).values()))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any
    ) -> None:
        if GIVEN_UP in result:
            self._given_up[trial.trial_id] = result[GIVEN_UP]
        if STORAGE_NOTE in result:
            self._watch.failed(result[STORAGE_NOTE])
        if "cohort" in result:  # Tune's own last result of a trial has none
            cohort = self._cohort(trial, result)
            scores = json.loads(result["scores"])
            self._watch.tick(cohort, result["step"], result["examples"], scores)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._ended(trial, self._given_up.pop(trial.trial_id, None))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        placement_groups.free_dead_attempts(trial.config["id"])  # no further attempt does it
        self._ended(trial, _cause(trial))

    def _ended(self, trial: Any, error: str | None) -> None:
        self._watch.ended(tuple(self._job(trial).values()), error)
        del self._jobs[trial.trial_id]  # a launch has thousands of jobs


def _cause(trial: Any) -> str:
    """Return why a job was given up, in one line: the workers' own error if there is one."""
    if trial.pickled_error_file is None:
        return "its driver was lost"
    with open(trial.pickled_error_file, "rb") as file:
        error = cloudpickle.load(file)
    cause = getattr(error, "cause", error)
    failures = getattr(cause, "worker_failures", {})
    return last_line(next(iter(failures.values()), cause))
