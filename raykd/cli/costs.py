"""What a sweep will take, for a person: a table for `raykd plan --cluster`, a line and a question
before a launch, and the line beside what it took."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from raykd.cli.format import byte_size, disk_range, duration_range, number_range
from raykd.cli.output import err, out
from raykd.config.budget import Budget, above
from raykd.errors import UserError
from raykd.planning.estimate.estimate import Estimate
from raykd.tracking.costs import Forecast

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
            cells = [duration_range(phase.seconds), number_range(phase.hours),
                     disk_range(phase.disk), byte_size(phase.traffic.likely)]  # fmt: skip
            own = [number_range(phase.money)] if phase.money else []
            shown.add_row(f"            {phase.name}", *cells, *own)
    out.print(shown)
    if found.limits:
        out.print(f"  limits    {'; '.join(found.limits)}")


def line(found: Estimate) -> str:
    """Before a launch."""
    total, rough = found.total, "" if found.measured else "roughly "
    parts = [f"{rough}{duration_range(total.seconds)}"]
    parts += [f"{number_range(total.hours)} {found.unit}-hours"]
    parts += [f"{number_range(total.money)} of money"] if total.money else []
    parts += [f"mostly {found.limits[0].rpartition(',')[0]}"] if found.limits else []
    return "estimate: " + "; ".join(parts)


def foretell(opened: Sweep, share: Share, address: str | None, yes: bool) -> Forecast:
    """Show what a launch will take, and ask where the file wants to be asked."""
    from raykd.cluster.estimate import foresee

    found = foresee(opened, share, "here" if address is None else "joined")
    if found.total.seconds.likely:
        err.print(line(found))
    consent(found, opened.study.config.budget, opened.study.file, yes)
    return Forecast(found.to_json(), time.time())


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
