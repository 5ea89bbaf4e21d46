"""`raykd status --watch`: follow a running sweep from any machine that can read its store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from raykd.cli.terminal import console
from raykd.cli.terminal.console import say
from raykd.cli.terminal.format import duration
from raykd.cli.terminal.output import status
from raykd.cli.terminal.progress import progress_line
from raykd.cluster.launch.tally import LAST

if TYPE_CHECKING:
    from raykd.sweep.status import Status
    from raykd.sweep.sweep import Sweep

EVERY_SECONDS = 5.0
SHARE = 0.1  # of the time, at most, a watcher keeps the store busy

Look = tuple["Status", dict[str, Any] | None]
"""The sweep's status; the last report of its launch, None if no launch is alive."""


def looks(sweep: Sweep) -> Iterator[Look]:
    """Yield a look every few seconds until no launch of the sweep is alive; the last look has no
    report."""
    from raykd.sweep.status import status as sweep_status
    from raykd.tracking import store
    from raykd.tracking.launch import listen

    ledger = sweep.ledger

    def look() -> Look:
        experiment = ledger.find_experiment()
        progress = None if experiment is None else listen(ledger.client, experiment)
        ledger.refresh(quick=True)
        return sweep_status(sweep.state()), progress

    while True:
        began = time.monotonic()
        current, now = store.patiently(look)  # a server may be away for a moment
        took = time.monotonic() - began
        yield current, now
        if now is None:
            return
        time.sleep(max(EVERY_SECONDS, took / SHARE))


def draw(current: Status, now: Mapping[str, Any] | None) -> None:
    """Redraw the screen on a terminal; elsewhere print a line per look, and the table at the
    end."""
    line = "no launch is running" if now is None else launch_line(now)
    if console.out.is_terminal or now is None:
        if console.out.is_terminal:
            console.out.clear()
        status(current)
        say(line)
    else:
        say(
            f"{current.finished} finished, {current.failed} failed, {current.missing} missing; "
            f"{line}"
        )
        for trial, error in current.failures[-LAST:]:
            say(f"  {trial} failed: {error}")
    for event in (now or {}).get("lost", []):
        say(f"  {event}")


def launch_line(now: Mapping[str, Any]) -> str:
    """A launch's report in one line: progress, machines, and time and money so far and to come."""
    if not now:
        return "a launch is starting"
    parts = [f"{100 * now['share_done']:.0f} %", progress_line(now)]
    if "nodes" in now:
        parts.append(f"{now['nodes']} nodes")
        for direction in ("coming", "going"):
            parts[-1] += f", {now[direction]} {direction}" if direction in now else ""
    for name in ("cpus", "gpus"):
        if name in now:
            in_use, total = now[name]
            parts.append(f"{in_use:g} of {total:g} {name[:-1].upper()}s in use")
    parts.append(f"{duration(now['seconds'])} so far")
    parts += [f"{now['gpu_hours']:.2f} GPU-hours"] if "gpu_hours" in now else []
    if "money" in now:
        parts.append(f"{now['money']:.2f} spent")
        if done := now["share_done"]:
            parts[-1] += f", {now['money'] * (1 - done) / done:.2f} to come"
    return "; ".join(parts)
