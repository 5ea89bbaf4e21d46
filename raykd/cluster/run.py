"""Runs what a sweep is missing: Ray Tune places jobs, their drivers start Train workers."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import psutil

from raykd.cluster.resources import Node, Share, share
from raykd.errors import UserError
from raykd.materials import Sources
from raykd.teacher import Stored
from raykd.tracking import store
from raykd.tracking.launch import Launch, other_live_launch, settle_dead, versions
from raykd.trial import Cohort, Job, TrialSpec, job_from_json

if TYPE_CHECKING:
    from raykd.cluster.sweep import Sweep

QUIET = {
    # Reports are throttled by this poll (two seconds by default); a fifth of one costs nothing.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_SYNCER": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000",
    "TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "1000000",
}
BEAT_SECONDS = 10.0


class Watch(Protocol):
    """Who is shown how a sweep goes."""

    def begin(self, explore: int, confirm: int, steps: Mapping[str, int]) -> None:
        """Trials to run by phase, and optimisation steps of a trial of each phase."""

    def started(self, job: Job) -> None: ...

    def tick(self, cohort: Cohort, step: int, examples: int, scores: Mapping[str, float]) -> None:
        """`step` of the cohort's steps done, `examples` student rows since the last tick."""

    def ended(self, job: Job, error: str | None) -> None: ...


def run(sweep: Sweep, teacher: Stored, address: str | None, watch: Watch) -> int:
    """Run every missing trial; returns how many did not finish.

    Raises UserError, before anything is started, where the machine or cluster cannot do it.
    """
    study, config = sweep.study, sweep.study.config
    experiment = store.experiment(sweep.client, config.name)
    other = other_live_launch(sweep.client, experiment)
    if other is not None:
        raise UserError(
            f"{study.file}: the sweep {config.name!r} is running already ({other}); wait for it, "
            "or stop it and run this again"
        )
    settle_dead(sweep.client, experiment)
    records = sweep.records()
    made = sweep.plan(records)
    if not made.missing and not made.explore_missing:
        return 0
    from raykd.cluster.sweep import check_disk
    from raykd.plan import stored_bytes

    check_disk(study.home, stored_bytes(made), study.file)
    with _ray(address) as nodes:
        fitted = share(config.cluster, nodes, _slots(), study.file)
        made = sweep.plan(records, fitted)
        launch = Launch.start(
            sweep.client, experiment, config.model_dump(mode="json"), sweep.command
        )
        status = "KILLED"
        try:
            watch.begin(
                made.explore_missing,
                len(made.missing) + made.best_missing,
                sweep.steps(),
            )
            _tune(sweep, made, records, teacher, fitted, experiment, launch, watch)
            left = sweep.plan(sweep.records())
            unfinished = len(left.missing) + left.explore_missing
            status = "FAILED" if unfinished else "FINISHED"
            return unfinished
        finally:
            settle_running(sweep, experiment, launch, status)


def settle_running(sweep: Sweep, experiment: str, launch: Launch, status: str) -> None:
    """End the launch; trials that it leaves running are marked as interrupted."""
    from raykd.tracking.launch import interrupt_children

    interrupt_children(sweep.client, experiment, launch.run_id)
    launch.end(status)


@contextmanager
def _ray(address: str | None) -> Iterator[list[Node]]:
    """A Ray of our own on this machine, or a running cluster; its nodes. Ends with the block."""
    os.environ.update(QUIET)
    import ray

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        cores = psutil.cpu_count() or 1
        options |= {
            "address": "local", "num_cpus": cores, "resources": {"trial_slot": cores},
            "include_dashboard": False,
        }  # fmt: skip
    else:
        options["address"] = address
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(
            f"--address: no Ray cluster at {address!r} ({reason}); start one with "
            "`ray start --head`, or leave --address out to use this machine"
        ) from error
    try:
        yield [
            Node(
                n["Resources"].get("CPU", 0.0),
                n["Resources"].get("GPU", 0.0),
                int(n["Resources"].get("memory", 0)),
            )
            for n in ray.nodes()
            if n["Alive"]
        ]
    finally:
        ray.shutdown()


def _slots() -> int:
    import ray

    return int(ray.cluster_resources().get("trial_slot", 0))


def _tune(
    sweep: Sweep,
    made: Any,
    records: Any,
    teacher: Stored,
    fitted: Share,
    experiment: str,
    launch: Launch,
    watch: Watch,
) -> None:
    from ray import tune
    from ray.tune import FailureConfig, RunConfig, TuneConfig

    from raykd.cluster.driver import drive
    from raykd.cluster.searcher import JobSearcher

    study, config = sweep.study, sweep.study.config
    storage = study.home / "checkpoints"
    storage.mkdir(parents=True, exist_ok=True)
    searcher = JobSearcher(made, sweep.explored(records), sweep.select_scores)
    settings = {
        "share": asdict(fitted),
        "storage": str(storage),
        "retries": config.cluster.retries,
        "worker": {
            "sources": Sources.of(study, teacher.folder),
            "tracking_uri": sweep.uri,
            "experiment": experiment,
            "launch": launch.run_id,
            "threads": fitted.cpus,
            "checkpoint_seconds": config.cluster.checkpoint_seconds,
            "tags": {**versions(), "raykd.sweep": config.name},
            "keep": _kept(config.tracking.students, made.confirm),
        },
    }
    tuner = tune.Tuner(
        tune.with_resources(partial(drive, settings=settings), {"CPU": 0, "trial_slot": 1}),
        tune_config=TuneConfig(
            search_alg=searcher,
            # As many as there may ever be: one a trial; the searcher says when it is done.
            num_samples=len(made.confirm) + made.best_missing + made.explore_wanted + 1,
            max_concurrent_trials=fitted.at_once,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
            trial_name_creator=lambda trial: trial.trial_id,
        ),
        run_config=RunConfig(
            name="raykd-tune",
            storage_path=str(storage / ".tune"),
            verbose=0,
            failure_config=FailureConfig(max_failures=config.cluster.retries),
            callbacks=[_watching(watch, launch)],
        ),
    )
    tuner.fit()


def _kept(students: str, trials: tuple[TrialSpec, ...]) -> Any:
    """Which students' weights are stored: as a rule, since explore's best are not known yet."""
    if students == "all":
        return "all"
    if students == "none" or not trials:
        return "none"
    return min(t.seed for t in trials)


def _watching(watch: Watch, launch: Launch) -> Any:
    """Tune's callback: what cohorts report, to whoever watches; and the launch's heartbeat."""
    from ray.tune import Callback

    class Watching(Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.jobs: dict[str, dict[str, Cohort]] = {}
            self.beat = time.monotonic()

        def job(self, trial: Any) -> dict[str, Cohort]:
            if trial.trial_id not in self.jobs:
                cohorts = job_from_json(json.loads(trial.config["job"]))
                self.jobs[trial.trial_id] = {c.id: c for c in cohorts}
            return self.jobs[trial.trial_id]

        def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
            if time.monotonic() - self.beat > BEAT_SECONDS:
                self.beat = time.monotonic()
                launch.beat()

        def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            watch.started(tuple(self.job(trial).values()))

        def on_trial_result(
            self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any
        ) -> None:
            if "cohort" in result:
                cohort = self.job(trial)[result["cohort"]]
                watch.tick(cohort, result["step"], result["examples"], result.get("scores", {}))

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            watch.ended(tuple(self.job(trial).values()), None)

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            lines = str(trial.get_error() or "lost").strip().splitlines()
            watch.ended(tuple(self.job(trial).values()), lines[-1][:300])

    return Watching()
