"""A sweep on a cluster, and what befalls it: faults of six kinds, each repaired after a while."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Any, Literal

import psutil

from raykd.cluster.launch.resume import NOTE

from ...support.world import write_sweep
from ...tracking.conftest import Server, free_port
from . import faults
from .helpers import RAYKD, SLOW, WHOLE, drivers, title, workers
from .nodes import Nodes

Kind = Literal["worker", "node", "driver", "head", "mlflow", "storage"]
KINDS: tuple[Kind, ...] = ("worker", "node", "driver", "head", "mlflow", "storage")
KILLS = ("worker", "node", "driver", "head")
Moment = Literal["training", "recovery", "checkpoint"]

NODES = 2
POLL_SECONDS, AT_ONCE = 0.1, 0.002
NEARLY = 0.85
"""The share of its steps from which on a sweep waits for a fault that is due."""
JOB = "*/*/*"
"""A job's folder: of its sweep, its launch, and itself."""


@dataclass(frozen=True)
class Fault:
    kind: Kind
    moment: Moment
    """While students train; so soon after the fault before; while a checkpoint is written."""
    at: float
    """The share of the sweep's steps that has to be done before, 0 to 1."""
    wait: float
    """Seconds from there; from the fault before, in a recovery."""
    lasts: float
    """Seconds until a node, the server or the store is back."""


@dataclass
class Struck:
    """A fault that was, and what came of it."""

    fault: Fault
    done: float
    """The share of the sweep's steps that was done."""
    what: str
    time: float
    """In seconds since the epoch, as everything here."""
    before: frozenset[int]
    """Workers that were there."""
    works_from: float | None
    """Since when workers are there that the fault has left alone, or that came after it."""
    seconds: float | None = None
    """Until students trained on, as far as the store knows."""
    launches: int = 0
    """How often the sweep's command was given again meanwhile."""


class Disturbed:
    """A sweep of `seeds` times three trials in a folder that has its teacher already; it runs on a
    head and two nodes, tells a server, and keeps checkpoints behind a link that can be cut."""

    def __init__(self, folder: Path, seeds: int) -> None:
        self.folder = folder
        self.server = Server(folder, free_port())
        self.nodes = Nodes(folder)
        self.nodes.env["PYTHONPATH"] = faults.path(folder, faults.GATE)
        self.rows: list[Struck] = []
        self.codes: list[int] = []
        """How each launch ended that was left to itself."""
        self._sweeps: list[subprocess.Popen[bytes]] = []
        self.trials = 3 * seeds
        self._store = folder / "home" / "checkpoints"
        self._repairs: list[tuple[float, Callable[[], object]]] = []
        self._steps = self.trials * int(SLOW["steps"])
        self._sweep = write_sweep(
            folder,
            training=SLOW,
            confirm={"strategies": ["none", "forward", "reverse"], "seeds": seeds},
            cluster={**WHOLE, "checkpoint_seconds": 0, "cohort": 2},
            tracking={"uri": self.server.uri},
        )

    def run(self, faults: list[Fault]) -> None:
        """The whole sweep, run again as often as it takes."""
        self._behind("stored").mkdir()
        self._store.symlink_to(self._behind("stored"))
        self.server.start()
        self.nodes.start(NODES)
        self._launch()
        began = time.time()
        for fault in faults:
            due = self._due(fault, self.rows[-1].time if self.rows else began)
            self._until(due, AT_ONCE if fault.moment == "checkpoint" else POLL_SECONDS)
            self._strike(fault)
        self._until(lambda: bool(self.codes) and self.codes[-1] == 0)

    def end(self) -> None:
        for process in self._sweeps:
            process.kill()
            process.wait()
        self.nodes.end()
        with contextlib.suppress(ProcessLookupError):
            self.server.signal(SIGKILL)

    # When

    def _due(self, fault: Fault, before: float) -> Callable[[], bool]:
        since: list[float] = [before] if fault.moment == "recovery" else []
        known: set[Path] = set()

        def due() -> bool:
            if not since and self.done() >= fault.at:
                since.append(time.time())
            if since and fault.moment != "checkpoint" and self.done() >= NEARLY:
                faults.gate(self.folder, {"all": 0})  # it must not end before
            if not since or time.time() < since[0] + fault.wait or not self._targets(fault.kind):
                return False
            if fault.moment != "checkpoint":
                return True
            there = set(self._store.glob(f"{JOB}/checkpoint_*"))
            new, first = there - known, not known
            known.update(there)
            return bool(new) and not first

        return due

    def _until(self, what: Callable[[], bool], pause: float = POLL_SECONDS) -> None:
        looked = 0.0
        while not what():
            if time.time() - looked > POLL_SECONDS:
                self._look()
                looked = time.time()
            time.sleep(pause)

    def _look(self) -> None:
        """What there is to see, to repair and to run again."""
        for repair in [r for r in self._repairs if r[0] <= time.time()]:
            self._repairs.remove(repair)
            repair[1]()
        code = self._sweeps[-1].poll()
        if code is not None:
            self._ended(code)
        waiting = [row for row in self.rows if row.seconds is None]
        if any(row.works_from is None for row in waiting):
            there = {p.pid for p in self._workers()}
            for row in waiting:
                if row.works_from is None and there - row.before:
                    row.works_from = time.time()
        if waiting:
            newest = self.ask("SELECT MAX(timestamp) FROM metrics WHERE key = 'loss'") / 1000
            for row in waiting:
                if row.works_from is not None and newest > row.works_from:
                    row.seconds = time.time() - row.time

    def _ended(self, code: int) -> None:
        output = self._log.read_text(encoding="utf-8")
        assert "Traceback" not in output, output
        self.codes.append(code)
        for row in (row for row in self.rows if row.seconds is None):
            if code == 0:
                row.seconds = time.time() - row.time
            else:
                row.launches += 1
        if code:
            self._launch()

    def done(self) -> float:
        return self.ask("SELECT SUM(step) FROM latest_metrics WHERE key = 'loss'") / self._steps

    def ask(self, query: str) -> float:
        """Of the server's database, which is there when the server is not."""
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as database:
            return float(database.execute(query).fetchone()[0] or 0)

    # What

    def _launch(self) -> None:
        self._log = self.folder / f"sweep-{len(self._sweeps)}.log"
        with self._log.open("w") as log:
            command = [*RAYKD, "sweep", str(self._sweep), "--address", self.nodes.address]
            self._sweeps.append(
                subprocess.Popen(command, env=self.nodes.env, stdout=log, stderr=log)
            )

    def _targets(self, kind: Kind) -> list[Any]:
        """What a fault of this kind may strike now."""
        if kind == "worker" or kind == "node":
            return self._workers()
        return drivers(self.folder) if kind == "driver" else [kind]

    def _workers(self) -> list[psutil.Process]:
        """Without those whose head was lost, and who do not know it yet."""
        there = set(self.nodes.workers)
        return [p for p in workers(self.folder) if self.nodes.where(p) in there]

    def _strike(self, fault: Fault) -> None:
        done, told = self.done(), self.codes.count(0)
        assert not told, f"the sweep ended before {fault}"
        before, now = frozenset(p.pid for p in self._workers()), time.time()
        what = getattr(self, f"_strike_{fault.kind}")(fault)
        faults.open_gate(self.folder)
        works_from = None if fault.kind in KILLS else now
        self.rows.append(Struck(fault, done, what, now, before, works_from))
        if fault.kind == "head":
            for row in (row for row in self.rows if row.seconds is None):
                row.launches += 1
            self._launch()

    def _strike_worker(self, fault: Fault) -> str:
        return _kill(self._workers()[0])

    def _strike_driver(self, fault: Fault) -> str:
        return _kill(drivers(self.folder)[0])

    def _strike_node(self, fault: Fault) -> str:
        """The one with a worker; another comes in its place later."""
        name = self.nodes.where(self._workers()[0])
        count = len(self.nodes.of(name))
        self.nodes.kill(name)
        self._later(fault, self.nodes.add)
        return f"{count} processes of a worker node"

    def _strike_head(self, fault: Fault) -> str:
        """The sweep's process, and the head with its drivers. Its worker nodes are left behind,
        at work; whoever runs the sweep again has a new cluster. Train's note of a checkpoint is
        written in no time; a kill in that instant leaves half of it, so half is left here."""
        self._sweeps[-1].kill()
        count = len(self.nodes.of(self.nodes.head))
        self.nodes.kill(self.nodes.head)
        self._sweeps[-1].wait()
        self._repairs = [r for r in self._repairs if r[1] != self.nodes.add]
        self.nodes.start(NODES)
        notes = list(self._store.glob(f"{JOB}/{NOTE}")) if fault.moment == "checkpoint" else []
        for note in notes:
            note.write_bytes(note.read_bytes()[: note.stat().st_size // 2])
        halved = f"; {len(notes)} note in halves" if notes else ""
        return f"the sweep and {count} processes of the head{halved}"

    def _strike_mlflow(self, fault: Fault) -> str:
        """Again where it is away already: it stays so for longer."""
        self._repairs = [r for r in self._repairs if r[1] != self.server.start]
        with contextlib.suppress(ProcessLookupError):
            self.server.signal(SIGKILL)
        self._later(fault, self.server.start)
        return "the MLflow server"

    def _strike_storage(self, fault: Fault) -> str:
        self._repairs = [r for r in self._repairs if r[1] != self._restore]
        with contextlib.suppress(FileNotFoundError):  # cut already
            self._behind("stored").rename(self._behind("away"))
        self._later(fault, self._restore)
        return "the checkpoint store"

    def _restore(self) -> None:
        self._behind("away").rename(self._behind("stored"))

    def _behind(self, name: str) -> Path:
        return self.folder / name

    def _later(self, fault: Fault, repair: Callable[[], object]) -> None:
        self._repairs.append((time.time() + fault.lasts, repair))


def _kill(process: psutil.Process) -> str:
    what = title(process).strip()
    with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended by itself
        process.kill()
    return f"`{what}`"
