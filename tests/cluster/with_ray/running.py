"""A sweep as a process group of its own, and what its store knows of it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from raykd.tracking import ledger, store
from raykd.tracking.ledger import Record

from . import faults
from .helpers import RAYKD, SLOW

STEPS = int(str(SLOW["steps"]))
MARK = "RAYKD_TEST_SWEEP"
"""Set for every process that a sweep starts on this machine, to its file."""


@dataclass
class Running:
    file: Path
    name: str
    mark: str
    """Of this sweep among those that run now."""
    home: Path
    database: Path
    """The SQLite file of its store, or of its store's server."""
    trials: int
    env: dict[str, str]
    options: Sequence[str] = ()
    cores: frozenset[int] | None = None
    """Of this machine, if not all."""
    codes: list[int] = field(default_factory=list)
    """How each launch ended that was left to itself."""
    logs: list[Path] = field(default_factory=list)
    began_at: int = 0
    """The steps that were done when it was started last."""
    process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        self.began_at = self.steps()
        self.logs.append(self.file.parent / f"{self.mark}-{len(self.logs)}.log")
        with self.logs[-1].open("w") as log:
            self.process = subprocess.Popen(
                [*RAYKD, "sweep", str(self.file), *self.options], cwd=self.file.parent,
                env={**self.env, MARK: str(self.file)}, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=self._settle,
            )  # fmt: skip

    def _settle(self) -> None:
        if self.cores is not None:
            os.sched_setaffinity(0, self.cores)

    def kill(self) -> None:
        """Its process group."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    @property
    def over(self) -> bool:
        return self.codes[-1:] == [0]

    @property
    def all_steps(self) -> int:
        return self.trials * STEPS

    def done(self) -> float:
        return self.steps() / self.all_steps

    def steps(self) -> int:
        """How many steps of its trainings the loss history has reached."""
        return int(self.ask("SUM(m.step)", "latest_metrics"))

    def newest(self) -> float:
        """When the newest loss was logged."""
        return self.ask("MAX(m.timestamp)", "metrics") / 1000

    def repeated(self) -> int:
        """How many losses the history has twice."""
        return int(self.ask("COUNT(*) - COUNT(DISTINCT m.run_uuid || ' ' || m.step)", "metrics"))

    def ask(self, what: str, table: str) -> float:
        """Of the losses in its database, which is there when a server is not."""
        query = (
            f"SELECT {what} FROM {table} AS m JOIN runs AS r ON r.run_uuid = m.run_uuid "
            "JOIN experiments AS e ON e.experiment_id = r.experiment_id "
            "WHERE m.key = 'loss' AND e.name = ?"
        )
        if not self.database.exists():
            return 0.0
        address = f"file:{self.database}?mode=rw"
        with closing(sqlite3.connect(address, uri=True, timeout=60)) as database:
            return float(database.execute(query, (self.name,)).fetchone()[0] or 0)

    def records(self) -> tuple[Record, ...]:
        client = store.connect(f"sqlite:///{self.database}")
        experiment = store.find_experiment(client, self.name)
        return () if experiment is None else ledger.read(client, experiment, self.home)

    def hold(self) -> None:
        if not (self.file.parent / self.gate).exists():
            faults.gate(self.file.parent, {"all": 0}, self.gate)

    def release(self) -> None:
        faults.open_gate(self.file.parent, self.gate)

    @property
    def gate(self) -> str:
        """Its file beside the home, or beside the sweep's."""
        return Path(self.env.get(faults.GATE_FILE, "gate")).name
