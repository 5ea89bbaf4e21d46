"""What a sweep will take, for a person: a table for `raykd plan --cluster`, a line and a question
before a launch, and the line beside what it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from raykd.cli.output import err, out, seconds
from raykd.config.budget import Budget, above
from raykd.errors import UserError
from raykd.planning.estimate.estimate import Estimate, Range
from raykd.tracking.costs import Compared, Foretold

if TYPE_CHECKING:
    from raykd.sweep.resources import Share
    from raykd.sweep.sweep import Sweep


def table(found: Estimate) -> None:
    """`raykd plan --cluster`."""
    how = f"measured on {found.device}" if found.measured else f"rough, for {found.device}"
    out.print(
        f"  estimate  {how}; {found.jobs} jobs, {found.at_once} at once"
        + (f" ({found.note})" if found.note else "")
    )
    shown = Table(box=None, pad_edge=False, padding=(0, 1))
    heads = ["            phase", "time", f"{found.unit}-hours", "disk", "traffic"]
    money = found.total.money is not None
    for i, head in enumerate(heads + ["money"] * money):
        shown.add_column(head, justify="right" if i else "left", no_wrap=True)
    for phase in (*found.phases, found.total):
        if phase.seconds.high or phase.disk.high:
            cells = [_times(phase.seconds), _numbers(phase.hours), _disk(phase.disk),
                     _bytes(phase.traffic.likely)]  # fmt: skip
            own = [_numbers(phase.money)] if phase.money else []
            shown.add_row(f"            {phase.name}", *cells, *own)
    out.print(shown)
    if found.limits:
        out.print(f"  limits    {'; '.join(found.limits)}")


def line(found: Estimate) -> str:
    """Before a launch."""
    total, rough = found.total, "" if found.measured else "roughly "
    parts = [f"{rough}{_times(total.seconds)}", f"{_numbers(total.hours)} {found.unit}-hours"]
    parts += [f"{_numbers(total.money)} of money"] if total.money else []
    parts += [f"mostly {found.limits[0].rpartition(',')[0]}"] if found.limits else []
    return "estimate: " + "; ".join(parts)


def foretell(opened: Sweep, share: Share, address: str | None, yes: bool) -> Foretold:
    """Show what a launch will take, and ask where the file wants to be asked."""
    from raykd.cluster.estimate import foresee

    found = foresee(opened, share, "here" if address is None else "joined")
    if found.total.seconds.likely:
        err.print(line(found))
    consent(found, opened.study.config.budget, opened.study.file, yes)
    return Foretold(found.to_json(), time.time())


def consent(found: Estimate, budget: Budget, file: str, yes: bool) -> None:
    """Ask, where the estimate is above what the file says. Raises UserError where nobody is there
    to be asked, and typer.Exit where the answer is no."""
    total = found.total
    amounts = {
        "hours": total.seconds.likely / 3600,
        "gpu_hours": total.hours.likely if found.unit == "GPU" else 0.0,
        "money": total.money.likely if total.money else None,
    }
    reason = above(budget, file, amounts)
    if reason is None or yes:
        return
    if not (sys.stdin.isatty() and err.is_terminal):
        raise UserError(f"{reason}; write --yes to run it all the same (nothing was started)")
    if not typer.confirm(f"{reason}. Run it?", err=True):
        typer.echo("raykd: nothing was started", err=True)
        raise typer.Exit(130)


def against(found: Compared) -> str:
    """A launch's estimate beside what it took, in a line."""
    told = f"estimated {_times(_range(found.estimate['total']['seconds']))}"
    if found.actual is None:
        return f"{found.launch}: {told}; not ended in order, or running"
    total, actual = found.estimate["total"], found.actual
    off = actual["seconds"] / total["seconds"]["likely"] - 1
    parts = [f"{told}, took {seconds(actual['seconds'])} ({off:+.0%})"]
    hours = f"{actual['hours']:.2g} {found.estimate['unit']}-hours"
    parts.append(f"{hours} (estimated {_numbers(_range(total['hours']))})")
    if "money" in actual and total["money"]:
        money = _numbers(_range(total["money"]))
        parts.append(f"{actual['money']:.2f} of money (estimated {money})")
    if actual["reason"]:
        parts.append(f"stopped at {actual['reason']}")
    return f"{found.launch}: " + "; ".join(parts)


def _range(values: Mapping[str, Any]) -> Range:
    return Range(**values)


def _times(found: Range) -> str:
    return f"{seconds(found.likely)} ({seconds(found.low)} to {seconds(found.high)})"


def _numbers(found: Range) -> str:
    return f"{found.likely:.2g} ({found.low:.2g} to {found.high:.2g})"


def _disk(found: Range) -> str:
    most = f" (at most {_bytes(found.high)})" if found.high > 1.01 * found.likely else ""
    return f"{_bytes(found.likely)}{most}"


def _bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e6:.0f} MB"
