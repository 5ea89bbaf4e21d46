"""Runs the missing trials of a sweep: Ray Tune schedules jobs, whose drivers start Ray Train
workers."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune import Callback

from raykd.cluster.launch import checkpoints, placement_groups
from raykd.cluster.launch.budget_meter import Meter
from raykd.cluster.launch.callbacks import Listener, Watch
from raykd.cluster.launch.driver import drive
from raykd.cluster.launch.searcher import JobSearcher
from raykd.cluster.ray_init import local_ray
from raykd.config.sweep import SweepConfig
from raykd.config.trial import TrialSpec
from raykd.planning import truncation
from raykd.planning.plan import Plan, by_strategy
from raykd.planning.teacher_source import training_inputs
from raykd.search.halving import SuccessiveHalving
from raykd.sweep.folders import Places
from raykd.sweep.records import explored
from raykd.sweep.resources import Share
from raykd.teachers.teacher import Stored
from raykd.tracking import store
from raykd.tracking.costs import Forecast
from raykd.tracking.delivery import close, leave_read, wait_until_sent
from raykd.tracking.launch import Launch, beating, ended, settle_dead, versions

if TYPE_CHECKING:
    from raykd.sweep.sweep import Sweep


@dataclass(frozen=True)
class Outcome:
    unfinished: tuple[TrialSpec, ...] = ()
    """Confirm trials that are still to be run."""
    unexplored: int = 0
    """Number of maps that are still to be explored."""
    budget: str | None = None
    """A sentence about the limit that ended the launch."""
    leaked: int = 0
    """Number of placement groups that Ray still held when the launch was over, freed since."""

    @property
    def count(self) -> int:
        return len(self.unfinished) + self.unexplored

    def not_run(self) -> str:
        """Return what is still to be run, by strategy."""
        explore = f"explore {self.unexplored} maps" if self.unexplored else ""
        return ", ".join(part for part in (explore, by_strategy(self.unfinished)) if part)


def run(sweep: Sweep, teacher: Stored, fitted: Share, watch: Watch, forecast: Forecast) -> Outcome:
    """Run every missing trial on the `machine` that gave the share, within the budget. The
    `forecast` and the actual cost are stored with the launch."""
    config = sweep.study.config
    experiment = store.experiment(sweep.client, config.name)
    settle_dead(sweep.client, experiment)
    records = sweep.known
    plan = sweep.planned(records, fitted)
    if not plan.missing and not plan.explore_missing:
        checkpoints.clear(_places(sweep, experiment, ""), done=True)
        return Outcome()
    confirm = len(plan.missing) + plan.best_missing
    watch.begin(plan.explore_missing, confirm, sweep.steps(), plan.finished)
    launch = Launch.start(sweep.client, experiment, config.model_dump(mode="json"), sweep.command)
    launch.describe(truncation.reported(sweep.study))
    places, destination = _places(sweep, experiment, launch.run_id), sweep.destination()
    status = "KILLED"
    try:
        forecast.start(launch)
        with local_ray():
            settings = _settings(sweep, plan, teacher, fitted, experiment, places)
            limits = config.budget
            searcher = JobSearcher(
                plan, explored(sweep.study, records), sweep.outcomes, limits.trials, sweep.goes_on
            )
            meter = Meter(limits, fitted, searcher, places.stop)
            try:
                with beating(launch, lambda: {**watch.now(), **meter.now()}):
                    callbacks = [Listener(watch), meter]
                    _tune(plan, searcher, settings, callbacks, places)
            finally:
                places.stop.unlink(missing_ok=True)
            leaked = placement_groups.free_rest()
        wait_until_sent(destination)
        remaining = sweep.planned(store.patiently(sweep.records))
        leave_read(destination, launch, watch.failed)
        reason = meter.reason
        waiting = remaining.explore_missing or any(
            t.id not in searcher.begun for t in remaining.missing
        )
        if limits.trials is not None and len(searcher.begun) >= limits.trials and waiting:
            reason = f"budget.trials: {limits.trials} trials were begun"
        forecast.end(launch, meter.spent().hours, limits.price, reason)
        outcome = Outcome(remaining.missing, remaining.explore_missing, reason, leaked)
        checkpoints.clear(places, done=not outcome.count)
        status = "FAILED" if outcome.count and not reason else "FINISHED"
        return outcome
    finally:
        # Stop workers first: nothing may be written after the launch is closed.
        ray.shutdown()
        close(destination, launch, status)


def _places(sweep: Sweep, experiment: str, launch: str) -> Places:
    return Places.of(sweep.study, sweep.id, launch, ended(sweep.client, experiment))


def _settings(
    sweep: Sweep, plan: Plan, teacher: Stored, fitted: Share, experiment: str, places: Places
) -> dict[str, Any]:
    """Return the settings of drivers and workers, as plain values."""
    study, config = sweep.study, sweep.study.config
    return {
        "share": asdict(fitted),
        "storage": places.checkpoints,
        "earlier": places.earlier,
        "retries": config.cluster.retries,
        "rows": ceil(study.batch_rows / fitted.workers),
        "worker": {
            "sources": training_inputs(study, teacher.folder, plan.choice()),
            "tracking_uri": sweep.uri,
            "experiment": experiment,
            "launch": places.launch,
            "spool": places.spool,
            "threads": fitted.cpus,
            "micro_batch": config.cluster.micro_batch,
            "compile": config.cluster.compile,
            "gradient_checkpointing": config.cluster.gradient_checkpointing,
            "rungs": _rungs(config),
            "stop": places.stop,
            "checkpoint_seconds": config.cluster.checkpoint_seconds,
            "tags": {**versions(), "raykd.sweep": config.name},
            "keep": _students_to_keep(config.tracking.students, plan.confirm),
        },
    }


def _rungs(config: SweepConfig) -> SuccessiveHalving | None:
    prune = config.explore.prune if config.explore else None
    return None if prune is None else SuccessiveHalving(prune.at, prune.drop)


def _students_to_keep(students: str, trials: tuple[TrialSpec, ...]) -> str | int:
    """Return which confirmed students are stored: `all`, `none`, or those of a seed. This is a rule
    and not a list, because explore's best maps are unknown at the start."""
    if students == "first_seed" and trials:
        return min(t.seed for t in trials)
    return "all" if students == "all" else "none"


def _tune(
    plan: Plan,
    searcher: JobSearcher,
    settings: dict[str, Any],
    callbacks: list[Callback],
    places: Places,
) -> None:
    # Tune's own record of the run is not needed, because MLflow is the ledger. It is removed at the
    # end of the run, or by the next run if this one is killed.
    for launch in places.ended:
        shutil.rmtree(places.tune(launch), ignore_errors=True)
    scratch = places.tune(places.launch)
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        # `Tuner` would first pickle searcher and callbacks, which fails for a live terminal.
        tune.run(
            tune.with_resources(partial(drive, settings=settings), {"CPU": 0, "trial_slot": 1}),
            name="tune",
            storage_path=str(scratch),
            search_alg=searcher,
            # An upper bound, with one trial per job; the searcher reports the end.
            num_samples=len(plan.confirm) + plan.best_missing + plan.explore_wanted + 1,
            max_concurrent_trials=plan.power.at_once,
            reuse_actors=True,
            max_failures=settings["retries"],
            raise_on_failed_trial=False,
            trial_dirname_creator=_name,
            trial_name_creator=_name,
            callbacks=callbacks,
            verbose=0,
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _name(trial: Any) -> str:
    return str(trial.trial_id)
