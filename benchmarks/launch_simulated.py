"""A launch in a process of its own, as `raykd sweep` does it, whose jobs make scores at once in the
place of a Ray Train group, and write them as its workers do; and samples of what that costs. Part
of benchmarks/ten_thousand.py.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import psutil

PARTS = 10  # samples of a launch
JOBS = "RAYKD_BENCHMARK_JOBS"  # names the file of what jobs did
LOSSES = {"loss": 1.5, "ce": 0.6, "kl": 0.2, "hidden": 0.7} | {
    f"hidden_{i}_to_{3 * i}": 0.7 for i in range(1, 5)
}

Requests = defaultdict[str, list[float]]
"""[count, seconds] of requests by endpoint."""


def launch(file: str, server: str, database: str, out: str) -> None:
    """Launch as `raykd sweep` does, with simulated training; writes its samples as JSON."""
    from raykd.cli import errors

    errors.quiet()
    timings = timed_requests()
    from raykd.cli.terminal.progress import SweepProgress
    from raykd.cluster import estimate
    from raykd.cluster.launch import run, run_sweep
    from raykd.sweep.sweep import Sweep

    opened = Sweep.open(Path(file))
    rows: list[dict[str, Any]] = []
    processes = Processes(int(server), int(database))

    class Watch(SweepProgress):
        """The usual progress callback of a launch, which also takes samples."""

        total = opened.state().missing
        over = 0

        def tick(self, cohort: Any, step: int, examples: int, scores: Mapping[str, float]) -> None:
            super().tick(cohort, step, examples, scores)
            if not rows:
                self.sample(cohort.trials[0].phase)
            if step == cohort.trials[0].training.steps:
                self.over += self.wanted(cohort)
                if self.over * PARTS // self.total >= len(rows):
                    self.sample(cohort.trials[0].phase)

        def sample(self, phase: str) -> None:
            rows.append(
                {
                    "done": self.over, "phase": phase, "time": time.time(),
                    "requests": {what: list(values) for what, values in timings.items()},
                    **processes.sample(),
                }
            )  # fmt: skip

    class Sampling(run_sweep.Observer):
        def training(self) -> Watch:
            return Watch()

    without_training: Any = run
    without_training.drive = simulated
    without_training = estimate
    without_training.WORTH_SECONDS = math.inf  # its time would be measured
    state, outcome = run_sweep.run_sweep(opened, None, Sampling())
    assert outcome is not None
    assert not outcome.count or outcome.budget, outcome.not_run()
    record = {"at_once": state.share.at_once, "rows": rows}
    Path(out).write_text(json.dumps(record), encoding="utf-8")


class Processes:
    """CPU seconds and memory of the launch, of Ray beside it, and of the store."""

    def __init__(self, server: int, database: int) -> None:
        """`server`, `database`: ids of the root processes of the MLflow server and PostgreSQL."""
        self._own = psutil.Process()
        self._server, self._database = psutil.Process(server), psutil.Process(database)
        self._seen: dict[tuple[str, int], float] = {}

    def sample(self) -> dict[str, Any]:
        for owner, root in (
            ("ray", self._own), ("store", self._server), ("database", self._database),
        ):  # fmt: skip
            for process in root.children(recursive=True) + [root] * (root != self._own):
                try:
                    driver = "ImplicitFunc" in "".join(process.cmdline())
                    self._seen["drivers" if driver else owner, process.pid] = _cpu(process)
                except psutil.NoSuchProcess:
                    continue
        cpu = {"launch": _cpu(self._own), "ray": 0.0, "drivers": 0.0, "store": 0.0, "database": 0.0}
        for (owner, _), seconds in self._seen.items():
            cpu[owner] += seconds
        return {"cpu": cpu, "rss_mib": self._own.memory_info().rss / 2**20}


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


# A job, in its driver


def simulated(config: dict[str, Any], *, settings: Any) -> None:
    """`drive` with `Simulated` in place of Ray Train."""
    from raykd.cluster.launch import driver

    changed: Any = driver
    changed._trainer = Simulated
    driver.drive(config, settings=settings)


class Simulated:
    """Does what Ray Train's workers do with a job, without training and worker start."""

    def __init__(self, part: Any, job: str, settings: Any) -> None:
        self._part, self._settings = part, settings

    def fit(self) -> None:
        from raykd.cluster.launch.driver import tags
        from raykd.tracking.outbox import deliver_sweep
        from raykd.tracking.writer import Writer

        settings, start, timings = self._settings, time.time(), timed_requests()
        before = {what: list(values) for what, values in timings.items()}
        deliver_sweep(settings.tracking_uri, settings.spool.parent)
        for cohort in self._part.job:
            writer = Writer(
                settings.tracking_uri, settings.experiment, settings.launch, cohort.id,
                tags(settings, self._part), settings.spool,
            )  # fmt: skip
            simulate(cohort, writer)
        requests = {
            what: [n - m for n, m in zip(now, before.get(what, (0, 0.0)), strict=True)]
            for what, now in timings.items()
        }
        record = {"start": start, "end": time.time(), "requests": requests}
        with open(os.environ[JOBS], "a", encoding="utf-8") as file:  # a line is one write
            file.write(json.dumps(record) + "\n")


def simulate(cohort: Any, recorder: Any) -> None:
    """Log and report what training would: losses and scores by step, and results. Scores depend on
    the map plus noise seeded by the trial, so that a search has something to find."""
    from ray import tune

    from raykd.training.distill import TICKS
    from raykd.training.early_stopping import marks
    from raykd.training.recorder import Result

    facts = {"precision": "fp32", "device": "cpu", "teacher_source": "live"}
    opened = [t for t in cohort.trials if recorder.open(t, facts)]
    first = cohort.trials[0]
    steps, metric, scores = first.training.steps, first.metric, dict[str, float]()
    final = {t.id: _score(t) for t in opened}
    evaluations = marks(steps, first.training.evaluations)
    since = 0
    for step in sorted(marks(steps, TICKS) | evaluations):
        for trial in opened:
            recorder.log(trial, step, LOSSES)
            if step in evaluations:
                scores[trial.id] = final[trial.id] - 20 * (1 - step / steps)
                recorder.log(trial, step, {f"select_{metric}": scores[trial.id]})
        tune.report(
            {
                "cohort": cohort.id, "trials": [t.id for t in cohort.trials], "step": step,
                "examples": (step - since) * first.training.batch * len(opened),
                "scores": json.dumps(scores),
            }
        )  # fmt: skip
        since = step
    for trial in opened:
        numbers = {
            f"best_select_{metric}": final[trial.id], "best_step": float(steps), "seconds": 9.0,
            "teacher_seconds": 1.0, "examples_per_second": 21.0, "peak_memory_mb": 512.0,
        }  # fmt: skip
        predictions: dict[str, Any] = {}
        if trial.phase == "confirm":
            numbers[f"test_{metric}"] = final[trial.id] - 0.5
            rows = range(24)
            predictions = {
                "id": [f"r{i}" for i in rows], "label": [i % 2 for i in rows],
                "predicted": [i % 2 for i in rows], "correct": [True for _ in rows],
            }  # fmt: skip
        recorder.finish(trial, Result(numbers, predictions))
    recorder.flush()


def _score(trial: Any) -> float:
    blocks = [b for b in trial.layer_map.blocks if b is not None]
    far = sum(abs(b - 3 * i) for i, b in enumerate(blocks, 1)) / 8
    return float(80 + 2 * bool(blocks) - far + Random(trial.id).gauss(0, 0.5))


def timed_requests() -> Requests:
    """Count and time this process's requests to the MLflow server from now on."""
    from requests.adapters import HTTPAdapter

    if hasattr(HTTPAdapter, "timings"):  # a driver's process has one job after another
        return HTTPAdapter.timings  # type: ignore[no-any-return]
    timings: Requests = defaultdict(lambda: [0, 0.0])
    send = HTTPAdapter.send

    def timed(self: Any, request: Any, *more: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return send(self, request, *more, **options)
        finally:
            path = request.path_url.partition("?")[0].split("/2.0/")[-1]
            endpoint = "artifacts" if "artifacts" in path else path.removeprefix("mlflow/")
            timings[endpoint][0] += 1
            timings[endpoint][1] += time.perf_counter() - began

    changed: Any = HTTPAdapter
    changed.send, changed.timings = timed, timings
    return timings
