"""Counts what a launch has done, from the reports of its jobs."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from operator import itemgetter
from typing import Any

from raykd.config.cohort import Cohort, Job
from raykd.tasks.kinds.metric import metric_named

LAST = 3  # number of failures kept
MOST_NAMED = 5  # cohorts of a lost job
MOST_TEXT = 500  # characters of a failure: together they fit a tag of MLflow

Score = tuple[str, float]
"""(trial name, newest score on select)"""


class Tally:
    """A `Watch` without output: `now` returns the figures, and `changed` is called after each
    report."""

    def __init__(self) -> None:
        self.work = 0.0
        """Optimisation steps of all trials that the launch has to run; `done` are completed."""
        self.done = 0.0
        self._share: dict[str, float] = {}
        self._finished: Collection[str] = ()
        self._running: set[str] = set()
        self._ended: set[str] = set()
        self._examples = 0
        # Rates count from the first tick, so that they exclude the start of the workers.
        self._since: tuple[float, float, int] | None = None
        self._scores: dict[str, dict[str, Score]] = {}
        """Scores of running cohorts, by cohort and trial."""
        self._extremes: list[Score] = []
        """Worst and best score of ended cohorts. Keeping only these makes `now` cheap: a launch may
        have ten thousand trials, and `now` is called at every report."""
        self._sign = 1
        """The factor that makes a larger score better."""
        self._failures: list[str] = []

    def changed(self, milestone: bool = False) -> None:
        """Called after a report. `milestone`: a cohort or a job has ended."""

    def begin(
        self, explore: int, confirm: int, steps: Mapping[str, int], finished: Collection[str]
    ) -> None:
        self.work = explore * steps["explore"] + confirm * steps["confirm"]
        self._finished = finished

    def started(self, job: Job) -> None:
        self._running |= {c.id for c in job} - self._ended  # the job of a lost driver starts again
        self.changed()

    def tick(self, cohort: Cohort, step: int, examples: int, scores: Mapping[str, float]) -> None:
        now = time.monotonic()
        self._examples += examples
        share = step * self.wanted(cohort)
        self.done += share - self._share.get(cohort.id, 0)
        self._share[cohort.id] = share
        self._since = self._since or (now, self.done, self._examples)
        self._sign = metric_named(cohort.trials[0].metric).sign
        names = {t.id: str(t.layer_map) if t.phase == "explore" else t.strategy
                 for t in cohort.trials}  # fmt: skip
        scores_so_far = self._scores.get(cohort.id, {})
        self._scores[cohort.id] = scores_so_far | {t: (names[t], s) for t, s in scores.items()}
        last = step == cohort.trials[0].training.steps
        if last:
            self._over(cohort.id)
        self.changed(milestone=last)

    def wanted(self, cohort: Cohort) -> int:
        """Return how many of the cohort's trials had not ended when the launch began."""
        return sum(t.id not in self._finished for t in cohort.trials)

    def failed(self, problem: str) -> None:
        """Record a failure; only the last few are kept."""
        cut = problem if len(problem) <= MOST_TEXT else problem[: MOST_TEXT - 3] + "..."
        self._failures = [*self._failures, cut][-LAST:]

    def ended(self, job: Job, error: str | None) -> None:
        news = any(cohort.id not in self._ended for cohort in job)
        for cohort in job:
            self._over(cohort.id)
        if error is not None:
            names = ", ".join(c.id for c in job[:MOST_NAMED])
            more = f" and {len(job) - MOST_NAMED} more" if len(job) > MOST_NAMED else ""
            self.failed(f"cohorts {names}{more} were lost: {error}")
        self.changed(milestone=news)

    def _over(self, cohort: str) -> None:
        self._running.discard(cohort)
        self._ended.add(cohort)
        scores = [*self._extremes, *self._scores.pop(cohort, {}).values()]
        self._extremes = [f(scores, key=itemgetter(1)) for f in (min, max)] if scores else []

    def now(self) -> dict[str, Any]:
        """Return the figures as plain values. The rate and the remaining time (seconds) are
        included after the first progress, the best and the worst score on select after the first
        score."""
        figures: dict[str, Any] = {
            "share_done": self.done / self.work if self.work else 0.0,
            "cohorts_done": len(self._ended),
            "cohorts_running": len(self._running),
            "lost": list(self._failures),
        }
        if self._since is not None and self.done > self._since[1]:
            start, done, examples = self._since
            passed = time.monotonic() - start
            figures["examples_per_second"] = (self._examples - examples) / passed
            figures["seconds_left"] = (self.work - self.done) * passed / (self.done - done)
        # Copied first, because another thread may call during a report.
        running = [score for by_trial in list(self._scores.values()) for score in by_trial.values()]
        if scores := [*self._extremes, *running]:
            best, worst = (max, min) if self._sign > 0 else (min, max)
            figures["best"] = best(scores, key=itemgetter(1))
            figures["worst"] = worst(scores, key=itemgetter(1))
        return figures
