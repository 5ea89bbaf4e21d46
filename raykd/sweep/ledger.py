"""The records of a sweep in its MLflow store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from raykd.config.cohort import Cohort
from raykd.planning.study import Study
from raykd.search.proposer import Tried
from raykd.sweep.records import outcome
from raykd.tracking import costs, launch, ledger, store
from raykd.tracking.costs import ForecastOutcome
from raykd.tracking.delivery import Destination, send_left
from raykd.tracking.ledger import Record
from raykd.tracking.sweep_id import identity

if TYPE_CHECKING:  # raykd.tracking must turn off telemetry before MLflow is imported
    from mlflow import MlflowClient


@dataclass
class Ledger:
    """A sweep's trials in its store, as they were last read.

    An experiment may hold thousands of trials, so they are read once and read again on request. A
    trial that ends in between is still not trained twice: see `Writer.open`.
    """

    uri: str
    client: MlflowClient
    name: str
    """Name of the sweep and of its experiment."""
    home: Path
    _records: tuple[Record, ...] | None = field(default=None, repr=False)

    def read(self) -> tuple[Record, ...]:
        """Return every trial as last read; the first call reads."""
        return self.refresh() if self._records is None else self._records

    def refresh(self, quick: bool = False) -> tuple[Record, ...]:
        """Read every trial again. `quick`: for display; of thousands of trials on a server, see
        `ledger.look`."""
        experiment = self.find_experiment()
        records: tuple[Record, ...] = ()
        if experiment is not None:
            read = ledger.look if quick else ledger.read
            records = read(self.client, experiment, self.home)
        self._records = records
        return records

    def find_experiment(self) -> str | None:
        """Return the id of the sweep's experiment; None if it was never launched."""
        return store.find_experiment(self.client, self.name)

    @cached_property
    def experiment(self) -> str:
        """The id of the sweep's experiment, which is created if there is none."""
        return store.patiently(lambda: store.experiment(self.client, self.name))

    @cached_property
    def sweep_id(self) -> str:
        """The sweep's id in its store, wherever that lies; folders elsewhere are named by it."""
        return store.patiently(lambda: identity(self.client, self.experiment))

    def is_running(self) -> bool:
        """Return whether a launch of the sweep may be alive, as far as is known at once."""
        experiment = self.find_experiment()
        return experiment is not None and launch.listen(self.client, experiment) is not None

    def destination(self) -> Destination:
        """Return where results go, and wait until the store takes them."""
        return Destination(self.uri, self.client, self.experiment, self.home, self.sweep_id)

    def forecasts(self) -> tuple[ForecastOutcome, ...]:
        """Return, for each launch, its forecast and what it took."""
        experiment = self.find_experiment()
        return () if experiment is None else costs.read(self.client, experiment)

    def outcomes(self, study: Study, cohort: Cohort) -> Mapping[str, Tried]:
        """Return the outcomes of a cohort's explore trials that are over, by trial id. Results that
        workers could not send before they ended are sent first."""
        send_left(self.destination())
        records = ledger.read_cohort(self.client, self.experiment, cohort)
        return {r.trial: tried for r in records if (tried := outcome(study, r))}
