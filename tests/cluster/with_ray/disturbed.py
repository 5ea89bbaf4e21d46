"""One sweep or two, and what befalls them: faults at moments that the loss history in the store
tells, each repaired after a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from .fault import KILLS, LAUNCHES, Fault, Struck
from .running import Running

POLL_SECONDS, AT_ONCE = 0.5, 0.002  # a look at all processes of a machine takes a while
NEARLY = 0.85
"""The share of its steps from which on a sweep waits for a fault that is due."""
JOB = "*/*/*"
"""A job's folder: of its sweep, its launch, and itself."""


class Disturbed:
    """The frame: when a fault strikes, and when training has gone on. Where it runs, and how a
    fault strikes, is a subclass's."""

    def __init__(self, folder: Path, sweeps: Iterable[Running]) -> None:
        self.folder = folder
        self.sweeps = tuple(sweeps)
        self.rows: list[Struck] = []
        self._seen = dict.fromkeys((s.mark for s in self.sweeps), 0)
        self._repairs: list[tuple[float, Callable[[], object]]] = []

    # Of a subclass

    def begin(self) -> None:
        raise NotImplementedError

    def targets(self, fault: Fault) -> bool:
        """Whether there is something that a fault may strike now."""
        raise NotImplementedError

    def workers(self, sweep: Running) -> list[psutil.Process]:
        raise NotImplementedError

    def strike(self, fault: Fault) -> str:
        """Return what was struck."""
        raise NotImplementedError

    def started(self, sweep: Running) -> list[psutil.Process]:
        """What is left of what a sweep has started on this machine."""
        raise NotImplementedError

    def hold(self, fault: Fault) -> None:
        """Let wait those sweeps that would end before the fault."""
        raise NotImplementedError

    def end(self) -> None:
        for sweep in self.sweeps:
            sweep.kill()

    # The frame

    def run(self, faults: list[Fault]) -> None:
        """The whole sweeps, run again as often as it takes."""
        self.begin()
        for sweep in self.sweeps:
            sweep.launch()
        began = time.time()
        for fault in faults:
            due = self._due(fault, self.rows[-1].time if self.rows else began)
            self._until(due, AT_ONCE if fault.moment == "checkpoint" else POLL_SECONDS)
            self._strike(fault)
        for sweep in self.sweeps:  # one that was ahead of the last fault waits for it still
            sweep.release()
        self._until(lambda: all(sweep.over for sweep in self.sweeps))
        self._until(lambda: not any(row.orphans for row in self.rows))

    def struck(self, fault: Fault) -> tuple[Running, ...]:
        return tuple(self.sweeps[i] for i in fault.who)

    def later(self, fault: Fault, repair: Callable[[], object]) -> None:
        self._repairs.append((time.time() + fault.lasts, repair))

    def no_longer(self, repair: Callable[[], object]) -> None:
        self._repairs = [r for r in self._repairs if r[1] != repair]

    def _due(self, fault: Fault, before: float) -> Callable[[], bool]:
        known: set[Path] = set()
        struck = self.struck(fault)

        def due() -> bool:
            self.hold(fault)
            if fault.moment == "recovery":
                return time.time() >= before + fault.wait and self.targets(fault)
            if not all(self.ready(fault, sweep) for sweep in struck) or not self.targets(fault):
                return False
            if fault.moment == "training":
                grew = [sweep for sweep in struck if sweep.steps() > self._seen[sweep.mark]]
                return bool(grew) or any(sweep.done() >= NEARLY for sweep in struck)
            there = {
                c for s in struck for c in (s.home / "checkpoints").glob(f"{JOB}/checkpoint_*")
            }
            new, first = there - known, not known
            known.update(there)
            return bool(new) and not first

        return due

    def ready(self, fault: Fault, sweep: Running) -> bool:
        """Whether its history has reached the step, and has grown since the sweep was started."""
        steps = sweep.steps()
        return steps >= fault.at * sweep.all_steps and (
            steps > sweep.began_at or sweep.done() >= NEARLY
        )

    def _until(self, what: Callable[[], bool], pause: float = POLL_SECONDS) -> None:
        looked = 0.0
        while not what():
            if time.time() - looked > POLL_SECONDS:
                self._look()
                looked = time.time()
            time.sleep(pause)

    def _strike(self, fault: Fault) -> None:
        struck = self.struck(fault)
        assert not any(sweep.over for sweep in struck), f"the sweep ended before {fault}"
        steps = {sweep.mark: sweep.steps() for sweep in struck}
        grew = all(steps[s.mark] > s.began_at for s in struck) and any(
            steps[mark] > self._seen[mark] for mark in steps
        )
        before, now = frozenset(p.pid for s in struck for p in self.workers(s)), time.time()
        what = self.strike(fault)
        orphans = [p for s in struck for p in self.started(s)] if fault.kind in LAUNCHES else []
        done = sum(steps.values()) / sum(s.all_steps for s in struck)
        row = Struck(
            fault, struck, sum(steps.values()), done, grew, what, now, before, orphans,
            {} if fault.kind in KILLS else {s.mark: now for s in struck},
        )  # fmt: skip
        self.rows.append(row)
        for sweep in struck:
            sweep.release()
            if fault.kind in LAUNCHES:
                self._again(sweep)

    def _again(self, sweep: Running) -> None:
        for row in (row for row in self.rows if row.seconds is None and sweep in row.sweeps):
            row.launches += 1
        sweep.launch()

    def _look(self) -> None:
        """What there is to see, to repair and to run again."""
        for repair in [r for r in self._repairs if r[0] <= time.time()]:
            self._repairs.remove(repair)
            repair[1]()
        for sweep in self.sweeps:
            self._seen[sweep.mark] = sweep.steps()
            code = None if sweep.over or sweep.process is None else sweep.process.poll()
            if code is not None:
                self._ended(sweep, code)
        for row in self.rows:
            if row.orphans:
                row.orphans = [p for p in row.orphans if p.is_running() and not _zombie(p)]
                row.orphaned = time.time() - row.time
            if row.seconds is None and all(self._went_on(row, sweep) for sweep in row.sweeps):
                row.seconds = time.time() - row.time

    def _went_on(self, row: Struck, sweep: Running) -> bool:
        if sweep.over:
            return True
        if sweep.mark not in row.works_from:
            if not {p.pid for p in self.workers(sweep)} - row.before:
                return False
            row.works_from[sweep.mark] = time.time()
        return sweep.newest() > row.works_from[sweep.mark]

    def _ended(self, sweep: Running, code: int) -> None:
        output = sweep.logs[-1].read_text(encoding="utf-8")
        assert "Traceback" not in output, output
        sweep.codes.append(code)
        if code:
            self._again(sweep)


def _zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
