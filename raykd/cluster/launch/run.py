"""Runs the missing trials of a sweep: Ray Tune schedules jobs, whose drivers start Ray Train
workers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray import tune
from ray.tune import Callback

from raykd.cluster.launch import checkpoints, placement_groups, summary
from raykd.cluster.launch.budget_meter import Meter
from raykd.cluster.launch.callbacks import Listener, Watch
from raykd.cluster.launch.driver import drive
from raykd.cluster.launch.searcher import JobSearcher
from raykd.cluster.launch.settings import LaunchSettings
from raykd.cluster.ray_init import local_ray
from raykd.config.trial import TrialSpec
from raykd.planning import truncation
from raykd.planning.plan import Plan, by_strategy
from raykd.sweep.folders import Places
from raykd.sweep.records import explored
from raykd.sweep.state import SweepState, goes_on, steps
from raykd.teachers.teacher import Stored
from raykd.tracking.costs import Forecast
from raykd.tracking.delivery import close, leave_read, wait_until_sent
from raykd.tracking.launch import Launch, beating, ended, interrupt_children, settle_dead
from raykd.tracking.pages.links import save_confirm_view
from raykd.tracking.store import patiently


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


def run(state: SweepState, teacher: Stored, watch: Watch, forecast: Forecast) -> Outcome:
    """Run every missing trial on the machines of the state's share, within the budget. The
    `forecast` and the actual cost are stored with the launch."""
    study, ledger, plan = state.study, state.ledger, state.plan
    config, experiment = study.config, state.ledger.experiment
    settle_dead(ledger.client, experiment)
    if not plan.missing and not plan.explore_missing:
        checkpoints.clear(_places(state, ""), done=True)
        return Outcome()
    confirm = len(plan.missing) + plan.best_missing
    watch.begin(plan.explore_missing, confirm, steps(study), plan.finished)
    stated = config.model_dump(mode="json")
    launch = Launch.start(ledger.client, experiment, stated, state.command)
    figures: list[Callable[[], Mapping[str, Any]]] = []
    # From the first moment to the last: others take a launch for dead whose heart stands still.
    with beating(launch, lambda: {k: v for tell in figures for k, v in tell().items()}):
        launch.describe(truncation.reported(study))
        patiently(lambda: save_confirm_view(ledger.client, experiment, config.task.metric))
        status = "KILLED"
        try:
            outcome = _run(state, teacher, watch, forecast, launch, figures)
            status = "FAILED" if outcome.count and not outcome.budget else "FINISHED"
            return outcome
        finally:
            # Stop workers first: nothing may be written after the launch is closed.
            ray.shutdown()
            close(ledger.destination(), launch, status)


def _run(
    state: SweepState, teacher: Stored, watch: Watch, forecast: Forecast, launch: Launch,
    figures: list[Callable[[], Mapping[str, Any]]],
) -> Outcome:  # fmt: skip
    """Run the trials of a launch. `figures`: gets the functions whose values each heartbeat has."""
    study, ledger, plan = state.study, state.ledger, state.plan
    places, limits = _places(state, launch.run_id), study.config.budget
    forecast.start(launch)
    with local_ray():
        settings = LaunchSettings.of(state, teacher, ledger.experiment, places)
        searcher = JobSearcher(
            plan, explored(study, state.records), partial(ledger.outcomes, study),
            limits.trials, partial(goes_on, study, ledger),
        )  # fmt: skip
        meter = Meter(limits, state.share, searcher, places.stop)
        figures += [watch.now, meter.now]
        try:
            _tune(plan, searcher, settings, [Listener(watch), meter], places)
        finally:
            figures.clear()
            places.stop.unlink(missing_ok=True)
        leaked = placement_groups.free_rest()
    wait_until_sent(ledger.destination())
    # Trials whose workers were lost are over too, so that nothing counts them as running.
    patiently(lambda: interrupt_children(ledger.client, ledger.experiment, launch.run_id))
    ended_state = state.refreshed()
    remaining = ended_state.plan
    leave_read(ledger.destination(), launch, watch.failed)
    reason = meter.reason
    waiting = remaining.explore_missing or any(
        t.id not in searcher.begun for t in remaining.missing
    )
    if limits.trials is not None and len(searcher.begun) >= limits.trials and waiting:
        reason = f"budget.trials: {limits.trials} trials were begun"
    forecast.end(launch, meter.spent().hours, limits.price, reason)
    summary.leave(ended_state, launch, watch.failed)
    outcome = Outcome(remaining.missing, remaining.explore_missing, reason, leaked)
    checkpoints.clear(places, done=not outcome.count)
    return outcome


def _places(state: SweepState, launch: str) -> Places:
    ledger = state.ledger
    return Places.of(state.study, ledger.sweep_id, launch, ended(ledger.client, ledger.experiment))


def _tune(
    plan: Plan,
    searcher: JobSearcher,
    settings: LaunchSettings,
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
            max_failures=settings.retries,
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
