"""Runs what a sweep is missing: Ray Tune places jobs, their drivers start Ray Train workers."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune import FailureConfig, RunConfig, TuneConfig

from raykd.cluster.driver import drive
from raykd.cluster.machine import local_ray
from raykd.cluster.resources import Share
from raykd.cluster.searcher import JobSearcher
from raykd.cluster.watch import Listener, Watch
from raykd.config import SweepConfig
from raykd.plan import Plan
from raykd.pruning import Rungs
from raykd.sources import Sources
from raykd.study import Study
from raykd.teacher import Stored
from raykd.tracking import store
from raykd.tracking.launch import Launch, interrupt_children, settle_dead, versions
from raykd.trial import TrialSpec

if TYPE_CHECKING:
    from raykd.cluster.sweep import Sweep


def run(sweep: Sweep, teacher: Stored, fitted: Share, watch: Watch) -> int:
    """Run every missing trial on the `machine` that gave the share; how many did not finish."""
    config = sweep.study.config
    experiment = store.experiment(sweep.client, config.name)
    settle_dead(sweep.client, experiment)
    records = sweep.known
    made = sweep.planned(records, fitted)
    if not made.missing and not made.explore_missing:
        return 0
    watch.begin(made.explore_missing, len(made.missing) + made.best_missing, sweep.steps())
    launch = Launch.start(sweep.client, experiment, config.model_dump(mode="json"), sweep.command)
    status = "KILLED"
    try:
        with local_ray():
            settings = _settings(sweep, made, teacher, fitted, experiment, launch)
            searcher = JobSearcher(made, sweep.explored(records), sweep.outcomes)
            _tune(sweep.study, made, searcher, settings, Listener(watch, launch))
        left = sweep.planned(sweep.records())
        unfinished = len(left.missing) + left.explore_missing
        status = "FAILED" if unfinished else "FINISHED"
        return unfinished
    finally:
        # Workers first: what they write after the launch is closed would be of no launch.
        ray.shutdown()
        interrupt_children(sweep.client, experiment, launch.run_id)
        launch.end(status)


def _settings(
    sweep: Sweep, made: Plan, teacher: Stored, fitted: Share, experiment: str, launch: Launch
) -> dict[str, Any]:
    """What drivers and workers are told, in plain values."""
    study, config = sweep.study, sweep.study.config
    return {
        "share": asdict(fitted),
        "storage": str(study.home / "checkpoints"),
        "retries": config.cluster.retries,
        "worker": {
            "sources": Sources.of(study, teacher.folder, made.choice()),
            "tracking_uri": sweep.uri,
            "experiment": experiment,
            "launch": launch.run_id,
            "threads": fitted.cpus,
            "micro_batch": config.cluster.micro_batch,
            "compile": config.cluster.compile,
            "gradient_checkpointing": config.cluster.gradient_checkpointing,
            "rungs": _rungs(config),
            "checkpoint_seconds": config.cluster.checkpoint_seconds,
            "tags": {**versions(), "raykd.sweep": config.name},
            "keep": _kept(config.tracking.students, made.confirm),
        },
    }


def _rungs(config: SweepConfig) -> Rungs | None:
    prune = config.explore.prune if config.explore else None
    return None if prune is None else Rungs(prune.at, prune.drop)


def _kept(students: str, trials: tuple[TrialSpec, ...]) -> str | int:
    """Which confirmed students are stored: `all`, `none`, or a seed's (explore's best maps are
    not known yet, so it is a rule and not a list)."""
    if students == "first_seed" and trials:
        return min(t.seed for t in trials)
    return "all" if students == "all" else "none"


def _tune(
    study: Study, made: Plan, searcher: JobSearcher, settings: dict[str, Any], listener: Listener
) -> None:
    # Tune's own record of the run is of no use: MLflow is the ledger. It goes when the run ends.
    scratch = study.home / "tune" / str(os.getpid())
    scratch.mkdir(parents=True, exist_ok=True)
    tuner = tune.Tuner(
        tune.with_resources(partial(drive, settings=settings), {"CPU": 0, "trial_slot": 1}),
        tune_config=TuneConfig(
            search_alg=searcher,
            # As many as there may ever be, a trial a job: the searcher says when it is done.
            num_samples=len(made.confirm) + made.best_missing + made.explore_wanted + 1,
            max_concurrent_trials=made.power.at_once,
            reuse_actors=True,
            trial_dirname_creator=_name,
            trial_name_creator=_name,
        ),
        run_config=RunConfig(
            name="tune",
            storage_path=str(scratch),
            verbose=0,
            failure_config=FailureConfig(max_failures=study.config.cluster.retries),
            callbacks=[listener],
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _name(trial: Any) -> str:
    return str(trial.trial_id)
