"""`raykd status --watch`: a sweep as it goes, from anywhere that sees its store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from raykd.cli.format import duration
from raykd.cli.output import out, say, status
from raykd.cli.progress import progress_line
from raykd.cluster.launch.tally import LAST

if TYPE_CHECKING:
    from raykd.sweep.status import Status
    from raykd.sweep.sweep import Sweep

EVERY_SECONDS = 5.0
SHARE = 0.1  # of the time, at most, a watcher has a store work for it

Look = tuple["Status", dict[str, Any] | None]
"""How the sweep stands; what its launch told last, None where none is alive."""


def looks(sweep: Sweep) -> Iterator[Look]:
    """One every few seconds, until no launch of the sweep is alive. The last one tells so."""
    from raykd.tracking import store
    from raykd.tracking.launch import listen

    def look() -> Look:
        experiment = store.find_experiment(sweep.client, sweep.study.config.name)
        now = None if experiment is None else listen(sweep.client, experiment)
        sweep.look_in()
        return sweep.status(), now

    while True:
        began = time.monotonic()
        found, now = store.patiently(look)  # a server may be away for a moment
        took = time.monotonic() - began
        yield found, now
        if now is None:
            return
        time.sleep(max(EVERY_SECONDS, took / SHARE))


def draw(found: Status, now: Mapping[str, Any] | None) -> None:
    """The whole screen on a terminal; elsewhere a line a look, and the table at the end."""
    line = "no launch is running" if now is None else told(now)
    if out.is_terminal or now is None:
        if out.is_terminal:
            out.clear()
        status(found)
        say(line)
    else:
        say(f"{found.finished} finished, {found.failed} failed, {found.missing} missing; {line}")
        for trial, error in found.failures[-LAST:]:
            say(f"  {trial} failed: {error}")
    for lost in (now or {}).get("lost", []):
        say(f"  {lost}")


def told(now: Mapping[str, Any]) -> str:
    """A launch's own words in a line: progress, machines, what it took and may still take."""
    if not now:
        return "a launch is starting"
    parts = [f"{100 * now['share_done']:.0f} %", progress_line(now)]
    if "nodes" in now:
        parts.append(f"{now['nodes']} nodes")
        for which in ("coming", "going"):
            parts[-1] += f", {now[which]} {which}" if which in now else ""
    for name in ("cpus", "gpus"):
        if name in now:
            used, there = now[name]
            parts.append(f"{used:g} of {there:g} {name[:-1].upper()}s in use")
    parts.append(f"{duration(now['seconds'])} so far")
    parts += [f"{now['gpu_hours']:.2f} GPU-hours"] if "gpu_hours" in now else []
    if "money" in now:
        parts.append(f"{now['money']:.2f} spent")
        if done := now["share_done"]:
            parts[-1] += f", {now['money'] * (1 - done) / done:.2f} to come"
    return "; ".join(parts)
