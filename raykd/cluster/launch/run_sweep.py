"""Runs what a sweep is missing, from the check of the machine to the end of the last trial."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from raykd.cluster.estimate import foresee
from raykd.cluster.launch.tally import Tally
from raykd.cluster.ray_session import check_budget, machine, teacher_maker
from raykd.config.budget import countable, priced
from raykd.planning.estimate.estimate import Estimate
from raykd.planning.study import Study
from raykd.runtime.scratch import temporary_files
from raykd.sweep.folders import remove_drafts
from raykd.sweep.state import SweepState
from raykd.sweep.sweep import Sweep
from raykd.sweep.teacher import ready_teacher
from raykd.teachers.teacher import Stored
from raykd.tracking.costs import Forecast
from raykd.training.hooks import Hooks

if TYPE_CHECKING:
    from raykd.cluster.launch.callbacks import Watch
    from raykd.cluster.launch.run import Outcome


class Observer:
    """What is shown of a sweep while it runs; this class shows nothing."""

    def planned(self, state: SweepState) -> None:
        """The machine is known, and nothing has started."""

    def estimated(self, estimate: Estimate, study: Study) -> None:
        """Called before anything starts; an exception ends the run."""

    def teaching(self, study: Study) -> AbstractContextManager[Hooks | None]:
        """Hooks for the training of the teacher."""
        return nullcontext()

    def taught(self, teacher: Stored) -> None: ...

    def training(self) -> AbstractContextManager[Watch]:
        """A watch for the trials."""
        return nullcontext(Tally())


def run_sweep(
    sweep: Sweep, address: str | None = None, observer: Observer | None = None
) -> tuple[SweepState, Outcome | None]:
    """Run what is missing on this machine, or on the cluster at an address. Returns the sweep as it
    then stands, and the outcome of the launch if there was one. Raises UserError where the sweep
    cannot run there.
    """
    study, ledger, observer = sweep.study, sweep.ledger, observer or Observer()
    remove_drafts(study.home)
    with temporary_files(), machine(sweep.state(), address) as state:
        priced(study.config.budget, study.file, study.config.cluster.checkpoint_price)
        countable(study.config.budget, study.file, state.share.gpus)
        observer.planned(state)
        estimate = foresee(state, "here" if address is None else "joined")
        observer.estimated(estimate, study)
        forecast = Forecast(estimate.to_json(), time.time())
        make = teacher_maker(None if address is None else state.share)
        with observer.teaching(study) as hooks:
            teacher, forecast = forecast.after(lambda: ready_teacher(study, ledger, hooks, make))
        observer.taught(teacher)
        state = state.updated()
        check_budget(state)
        outcome = None
        if state.missing:
            from raykd.cluster.launch.run import run  # imports Ray and its Tune

            with observer.training() as watch:
                outcome = run(state, teacher, watch, forecast)
    return state.updated(), outcome
