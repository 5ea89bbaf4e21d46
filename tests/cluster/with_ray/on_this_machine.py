"""One sweep, or two at once, each with a Ray of its own on this machine; two share a home, a store
or both. Their process groups are killed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Literal

import psutil

from ...support.world import write_sweep
from . import faults
from .conftest import copy
from .disturbed import Disturbed
from .fault import Fault
from .helpers import CPUS, SLOW, marked, title
from .running import MARK, Running

Shared = Literal["alone", "home", "store", "both"]
SHARED: tuple[Shared, ...] = ("alone", "home", "store", "both")
AHEAD = 0.1
"""By how large a share of its steps a sweep may be ahead of the fault that is due."""


class OnThisMachine(Disturbed):
    """Copies of a folder that has its teacher already. `scratch`: their folder for temporary files,
    of a short path, as Ray's sockets are there."""

    def __init__(
        self, made: Path, folder: Path, scratch: Path, shared: Shared, seeds: int, cpus: int = CPUS
    ) -> None:
        self.shared, self.scratch = shared, scratch
        super().__init__(folder, self._sweeps(made, folder, seeds, cpus))

    def _sweeps(self, made: Path, folder: Path, seeds: int, cpus: int) -> list[Running]:
        sweeps = []
        for mark in ("one",) if self.shared == "alone" else ("one", "two"):
            # Another name where they have one store; one file under two names elsewhere.
            name = "tiny" if mark == "one" or self.shared == "home" else "other"
            place = folder / mark if self.shared == "store" else folder
            if not place.exists():
                copy(made, place)
            database = place / f"{mark}.db" if self.shared == "home" else folder / "one.db"
            file = write_sweep(
                place, name=name, training=SLOW, tracking={"uri": f"sqlite:///{database}"},
                confirm={"strategies": ["none", "forward", "reverse"], "seeds": seeds},
                cluster={"cpus_per_worker": cpus, "checkpoint_seconds": 0, "cohort": 2},
            ).rename(place / f"{mark}.yaml")  # fmt: skip
            env = {
                **os.environ, "RAYKD_HOME": str(place / "home"), "TMPDIR": str(self.scratch),
                "PYTHONPATH": faults.path(place, faults.GATE),
                faults.GATE_FILE: str(place / f"gate-{mark}"),
            }  # fmt: skip
            there = sorted(os.sched_getaffinity(0))  # a sweep has as many cores as its worker
            cores = {there[(len(sweeps) * cpus + i) % len(there)] for i in range(cpus)}
            sweeps.append(
                Running(
                    file,
                    name,
                    mark,
                    place / "home",
                    database,
                    3 * seeds,
                    env,
                    cores=frozenset(cores),
                )  # fmt: skip
            )
        return sweeps

    def begin(self) -> None: ...

    def end(self) -> None:
        super().end()
        for process in (p for s in self.sweeps for p in self.started(s)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def hold(self, fault: Fault) -> None:
        """Those to be struck wait for each other, and none gets far ahead of the fault."""
        struck = self.struck(fault) if fault.moment == "training" else ()
        ready = {sweep.mark: self.ready(fault, sweep) for sweep in struck}
        for sweep in self.sweeps:
            recovers = any(
                r.seconds is None and sweep in r.sweeps and not self._went_on(r, sweep)
                for r in self.rows
            )
            if sweep in struck:
                waits = ready[sweep.mark] and not all(ready.values())
            else:
                waits = sweep.done() >= fault.at + AHEAD and not recovers
            sweep.hold() if waits else sweep.release()

    def targets(self, fault: Fault) -> bool:
        return all(sweep.process is not None for sweep in self.struck(fault))

    def started(self, sweep: Running) -> list[psutil.Process]:
        return marked(MARK, str(sweep.file))

    def workers(self, sweep: Running) -> list[psutil.Process]:
        return [p for p in self.started(sweep) if "RayTrainWorker" in title(p)]

    def strike(self, fault: Fault) -> str:
        count = 0
        for sweep in self.struck(fault):
            started = self.started(sweep)
            count += len(started)
            sweep.kill()
            for process in started if fault.kind == "all" else []:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        return f"{count} processes"

    def _ended(self, sweep: Running, code: int) -> None:
        """Nothing else than the sweep is ever away."""
        assert code == 0, f"exit code {code} of a launch:\n{sweep.logs[-1].read_text()}"
        super()._ended(sweep, code)
