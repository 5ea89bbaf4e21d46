"""A sweep file opened for work: the resolved study and its ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raykd.config.cluster import gpu_fault
from raykd.config.sweep import load, smoke_config
from raykd.data.assets import packages
from raykd.errors import UserError
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.sweep.folders import prepare
from raykd.sweep.ledger import Ledger
from raykd.sweep.resources import Share
from raykd.sweep.state import SweepState, state
from raykd.tracking import store


@dataclass(frozen=True)
class Sweep:
    study: Study
    ledger: Ledger

    @classmethod
    def open(
        cls,
        file: Path,
        tracking_uri: str | None = None,
        *,
        workers: int | None = None,
        smoke: bool = False,
        price: float | None = None,
    ) -> Sweep:
        """Read and check the file, the store and the data. Nothing is started. Raises UserError."""
        config = load(file)
        if smoke:
            config = smoke_config(config)
        if workers is not None:
            if fault := gpu_fault(workers, config.cluster.gpus_per_worker):
                raise UserError(f"{file}: cluster.gpus_per_worker: {fault}")
            cluster = config.cluster.model_copy(update={"workers": workers})
            config = config.model_copy(update={"cluster": cluster})
        if price is not None:
            budget = config.budget.model_copy(update={"price": price})
            config = config.model_copy(update={"budget": budget})
        uri = store.resolve(tracking_uri or config.tracking.uri, Path.cwd())
        client = store.connect(uri)
        home = Path(config.cluster.storage).resolve() if config.cluster.storage else packages.home()
        prepare(home, str(file))
        study = resolve(config, home, str(file))
        return cls(study, Ledger(uri, client, config.name, home))

    def state(self, share: Share | None = None) -> SweepState:
        """Return the sweep as its records, as last read, have it: see `state`."""
        return state(self.study, self.ledger, share)
