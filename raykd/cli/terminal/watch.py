"""`raykd status --watch`: follow a running sweep from any machine that can read its store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
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
    from raykd.tracking.launch import LaunchEnd

EVERY_SECONDS = 5.0
SHARE = 0.1  # of the time, at most, a watcher keeps the store busy


@dataclass(frozen=True)
class View:
    """What a watcher sees at one moment."""

    status: Status
    now: dict[str, Any] | None
    """The last report of the launch, {} before its first; None if no launch is alive."""
    end: LaunchEnd | None
    """The end of the newest launch; None while it is alive, or if there was none."""

    def to_json(self) -> dict[str, Any]:
        ended = None if self.end is None else asdict(self.end)
        return {**self.status.to_json(), "now": self.now, "ended": ended}


def follow(sweep: Sweep) -> Iterator[View]:
    """Yield a view every few seconds until no launch of the sweep is alive; the last view has no
    report."""
    from raykd.sweep.status import status as sweep_status
    from raykd.tracking import store
    from raykd.tracking.launch import last_end, listen

    ledger = sweep.ledger

    def view() -> View:
        experiment, now, end = ledger.find_experiment(), None, None
        if experiment is not None:
            now = listen(ledger.client, experiment)
            end = last_end(ledger.client, experiment) if now is None else None
        ledger.refresh(quick=True)
        return View(sweep_status(sweep.state()), now, end)

    while True:
        began = time.monotonic()
        current = store.patiently(view)  # a server may be away for a moment
        took = time.monotonic() - began
        yield current
        if current.now is None:
            return
        time.sleep(max(EVERY_SECONDS, took / SHARE))


def draw(view: View) -> None:
    """Redraw the screen on a terminal; elsewhere print a line per view, and the table at the
    end."""
    current, now = view.status, view.now
    line = end_line(view.end, time.time()) if now is None else launch_line(now)
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


def end_line(end: LaunchEnd | None, now: float) -> str:
    """A line for a sweep of which no launch is alive. `now`: seconds since the epoch."""
    if end is None:
        return "no launch has been started"
    ago = f"{duration(max(0.0, now - end.time))} ago"
    if end.status == "lost":
        return f"the launch is gone without an end; its last sign of life was {ago}"
    how = {"failed": ": some trials did not finish", "killed": ": it was stopped"}
    return f"the launch ended {ago}{how.get(end.status, '')}"


def launch_line(now: Mapping[str, Any]) -> str:
    """A launch's report in one line: progress, machines, and time and money so far and to come."""
    if not now:
        return "starting Ray"
    if not now["cohorts_running"] and not now["cohorts_done"]:
        state = "starting workers"
    else:
        state = "running"
    parts = [f"{state}: {100 * now['share_done']:.0f} %", progress_line(now)]
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
