"""Measures what a launch spends, and stops it at the budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback

from raykd.cluster.launch.searcher import JobSearcher
from raykd.cluster.nodes import machines
from raykd.config.budget import Budget, Spent, reached
from raykd.sweep.resources import Share

ASK_SECONDS = 5.0  # between two requests to Ray


class Meter(Callback):  # type: ignore[misc]
    """Callback that counts costs and enforces the budget. A job costs from its driver's start to
    its end, waiting included. At the budget no more jobs are started, and a stop file ends the
    running ones: each stores a checkpoint at its next evaluation and ends."""

    def __init__(
        self, budget: Budget, share: Share, searcher: JobSearcher, stop: Path,
        ask: Callable[[], dict[str, Any]] = machines,
    ) -> None:  # fmt: skip
        self._budget = budget
        self._share = share
        self._searcher = searcher
        self._stop = stop
        self._began = time.monotonic()
        self._running: dict[str, float] = {}
        self._held = 0.0
        self.reason: str | None = None
        self._ask = ask
        self._asked = 0.0
        self._machines: dict[str, Any] = {}

    def spent(self) -> Spent:
        """Return the wall time, GPU time and worker time so far, in seconds."""
        now = time.monotonic()
        running = list(self._running.values())  # a copy: another thread may call at a job's start
        held = self._held + sum(now - since for since in running)
        workers = self._share.workers
        return Spent(now - self._began, held * workers * self._share.gpus, held * workers)

    def now(self) -> dict[str, Any]:
        """Return the costs so far and the machines, as plain values. Safe to call from any
        thread."""
        spent = self.spent()
        usage = {"seconds": spent.seconds, "worker_hours": spent.worker_seconds / 3600}
        if spent.gpu_seconds:
            usage["gpu_hours"] = spent.gpu_seconds / 3600
        if self._budget.price is not None:
            usage["money"] = spent.money(self._budget)
        return {**usage, **self._machines}

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        if self._searcher.fault is not None:
            raise self._searcher.fault
        if time.monotonic() - self._asked > ASK_SECONDS:
            self._asked = time.monotonic()
            self._machines = self._ask()
        if self.reason is None and (reason := reached(self._budget, self.spent())):
            self.reason = reason
            self._searcher.stop()
            self._stop.parent.mkdir(parents=True, exist_ok=True)
            self._stop.touch()

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._end(trial)
        self._running[trial.trial_id] = time.monotonic()

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._end(trial)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._end(trial)

    def _end(self, trial: Any) -> None:
        since = self._running.pop(trial.trial_id, None)
        if since is not None:
            self._held += time.monotonic() - since
