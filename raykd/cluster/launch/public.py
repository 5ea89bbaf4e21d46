"""A sweep from Python: the commands of the command line as methods, without their output."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raykd.analysis.verdict.verdict import Verdict
from raykd.cluster.estimate import foresee
from raykd.cluster.launch.tally import Tally
from raykd.cluster.ray_session import check_budget, machine, teacher_maker
from raykd.config.budget import countable
from raykd.errors import UserError
from raykd.sweep import overview, verdict
from raykd.sweep import status as sweep_status
from raykd.sweep.status import Status
from raykd.sweep.sweep import Sweep as OpenedSweep
from raykd.sweep.teacher import ready_teacher
from raykd.tracking.costs import Forecast


@dataclass(frozen=True)
class Sweep:
    """A sweep file and its results in the store. Methods read the store anew."""

    opened: OpenedSweep

    @classmethod
    def open(cls, file: str | Path, tracking_uri: str | None = None, smoke: bool = False) -> Sweep:
        """Read and check the file, the store and the data. Nothing is started. `smoke`: a few steps
        of everything, kept apart from real results. Raises UserError."""
        return cls(OpenedSweep.open(Path(file), tracking_uri, smoke=smoke))

    def plan(self) -> dict[str, Any]:
        """Return what is still to be run, as `raykd plan --json` does."""
        self.opened.ledger.refresh()
        return overview.outline(self.opened.state())

    def status(self) -> Status:
        """Return counts of trials, failures, and the table of strategies."""
        self.opened.ledger.refresh()
        return sweep_status.status(self.opened.state())

    def verdict(self, margin: float | None = None) -> Verdict:
        """Return the verdict on the confirm trials; at the file's margin, unless one is given.
        Raises UserError, for example before the first interim analysis."""
        self.opened.ledger.refresh()
        return verdict.of_sweep(self.opened.state(), margin)

    def run(self, address: str | None = None) -> Status:
        """Run what is missing and return the status: on a Ray of this machine, or on the cluster at
        an address. Finished trials are never repeated.

        Raises UserError where the sweep cannot run there, and where trials did not finish.
        """
        study, ledger = self.opened.study, self.opened.ledger
        with machine(self.opened.state(), address) as state:
            countable(study.config.budget, study.file, state.share.gpus)
            estimate = foresee(state, "here" if address is None else "joined")
            forecast = Forecast(estimate.to_json(), time.time())
            make = teacher_maker(None if address is None else state.share)
            teacher, forecast = forecast.after(lambda: ready_teacher(study, ledger, None, make))
            state = state.updated()
            check_budget(state)
            if state.missing:
                from raykd.cluster.launch.run import run  # imports Ray and its Tune

                outcome = run(state, teacher, Tally(), forecast)
                if outcome.count and not outcome.budget:
                    raise UserError(
                        f"{study.file}: {outcome.count} trials did not finish "
                        f"({outcome.not_run()}); see `raykd status {study.file}`"
                    )
        return sweep_status.status(state.updated())
