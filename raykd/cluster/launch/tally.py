"""What a launch has done so far, counted as its jobs report."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from operator import itemgetter
from typing import Any

from raykd.config.cohort import Cohort, Job

LAST = 3  # failures that are remembered

Score = tuple[str, float]
"""A trial's name, and its newest score on select."""


class Tally:
    """A `Watch` that shows nobody anything: `now` has the figures, `changed` is called on news."""

    def __init__(self) -> None:
        self.work = 0.0
        """Optimisation steps of all trials that the launch has to run; `done` of them are over."""
        self.done = 0.0
        self._share: dict[str, float] = {}
        self._finished: Collection[str] = ()
        self._running: set[str] = set()
        self._ended: set[str] = set()
        self._examples = 0
        # Rates count from the first tick, so that starting the workers is in none of them.
        self._since: tuple[float, float, int] | None = None
        self._scores: dict[str, dict[str, Score]] = {}
        """Of cohorts that run, by cohort and trial."""
        self._extremes: list[Score] = []
        """The worst and the best of cohorts that are over: a launch may have ten thousand trials,
        and is asked at every report."""
        self._failures: list[str] = []

    def changed(self, milestone: bool = False) -> None:
        """`milestone`: a cohort or a job has ended."""

    def begin(
        self, explore: int, confirm: int, steps: Mapping[str, int], finished: Collection[str]
    ) -> None:
        self.work = explore * steps["explore"] + confirm * steps["confirm"]
        self._finished = finished

    def started(self, job: Job) -> None:
        self._running |= {c.id for c in job} - self._ended  # a lost driver's job starts once more
        self.changed()

    def tick(self, cohort: Cohort, step: int, examples: int, scores: Mapping[str, float]) -> None:
        now = time.monotonic()
        self._examples += examples
        share = step * self.wanted(cohort)
        self.done += share - self._share.get(cohort.id, 0)
        self._share[cohort.id] = share
        self._since = self._since or (now, self.done, self._examples)
        names = {t.id: str(t.layer_map) if t.phase == "explore" else t.strategy
                 for t in cohort.trials}  # fmt: skip
        scores_so_far = self._scores.get(cohort.id, {})
        self._scores[cohort.id] = scores_so_far | {t: (names[t], s) for t, s in scores.items()}
        last = step == cohort.trials[0].training.steps
        if last:
            self._over(cohort.id)
        self.changed(milestone=last)

    def wanted(self, cohort: Cohort) -> int:
        """Its trials that were not over when the launch began."""
        return sum(t.id not in self._finished for t in cohort.trials)

    def failed(self, told: str) -> None:
        """To be told once, and remembered for a while."""
        self._failures = [*self._failures, told][-LAST:]

    def ended(self, job: Job, error: str | None) -> None:
        news = any(cohort.id not in self._ended for cohort in job)
        for cohort in job:
            self._over(cohort.id)
        if error is not None:
            self.failed(f"cohorts {', '.join(c.id for c in job)} were lost: {error}")
        self.changed(milestone=news)

    def _over(self, cohort: str) -> None:
        self._running.discard(cohort)
        self._ended.add(cohort)
        scores = [*self._extremes, *self._scores.pop(cohort, {}).values()]
        self._extremes = [f(scores, key=itemgetter(1)) for f in (min, max)] if scores else []

    def now(self) -> dict[str, Any]:
        """Plain values. Rate and time left (seconds) are there once something was counted; the
        best and the worst so far by their score on select."""
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
        # Listed first: another thread may ask while a report comes in.
        running = [score for by_trial in list(self._scores.values()) for score in by_trial.values()]
        if scores := [*self._extremes, *running]:
            figures["best"] = max(scores, key=itemgetter(1))
            figures["worst"] = min(scores, key=itemgetter(1))
        return figures
