"""A sweep from Python: the commands of the command line as methods, without their output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raykd.analysis.verdict.verdict import Verdict
from raykd.cluster.launch.run_sweep import run_sweep
from raykd.errors import UserError
from raykd.sweep import overview, verdict
from raykd.sweep import status as sweep_status
from raykd.sweep.status import Status
from raykd.sweep.sweep import Sweep as OpenedSweep


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
        state, outcome = run_sweep(self.opened, address)
        if outcome is not None and outcome.count and not outcome.budget:
            file = state.study.file
            raise UserError(
                f"{file}: {outcome.count} trials did not finish ({outcome.not_run()}); see "
                f"`raykd status {file}`"
            )
        return sweep_status.status(state)
