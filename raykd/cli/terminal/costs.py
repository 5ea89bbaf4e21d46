"""Print what a sweep will take: a table for `raykd plan --cluster`, and before a launch a line and,
above a limit of the file, a question."""

from __future__ import annotations

import sys

import typer
from rich.table import Table

from raykd.cli.terminal.format import byte_size, disk_range, duration_range, number_range
from raykd.cli.terminal.output import err, out
from raykd.config.budget import Budget, above
from raykd.errors import UserError
from raykd.planning.estimate.estimate import Estimate


def table(estimate: Estimate) -> None:
    """Print the table of `raykd plan --cluster`."""
    basis = (
        f"measured on {estimate.device}" if estimate.measured else f"rough, for {estimate.device}"
    )
    out.print(
        f"  estimate  {basis}; {estimate.jobs} jobs, {estimate.at_once} at once"
        + (f" ({estimate.note})" if estimate.note else "")
    )
    grid = Table(box=None, pad_edge=False, padding=(0, 1))
    headers = ["            phase", "time", f"{estimate.unit}-hours", "disk", "traffic"]
    money = estimate.total.money is not None
    for i, head in enumerate(headers + ["money"] * money):
        grid.add_column(head, justify="right" if i else "left", no_wrap=True)
    for phase in (*estimate.phases, estimate.total):
        if phase.seconds.high or phase.disk.high:
            cells = [duration_range(phase.seconds), number_range(phase.hours),
                     disk_range(phase.disk), byte_size(phase.traffic.likely)]  # fmt: skip
            money_cells = [number_range(phase.money)] if phase.money else []
            grid.add_row(f"            {phase.name}", *cells, *money_cells)
    out.print(grid)
    if estimate.limits:
        out.print(f"  limits    {'; '.join(estimate.limits)}")


def line(estimate: Estimate) -> str:
    """The estimate in one line, as shown before a launch."""
    total, rough = estimate.total, "" if estimate.measured else "roughly "
    parts = [f"{rough}{duration_range(total.seconds)}"]
    parts += [f"{number_range(total.hours)} {estimate.unit}-hours"]
    parts += [f"{number_range(total.money)} of money"] if total.money else []
    parts += [f"mostly {estimate.limits[0].rpartition(',')[0]}"] if estimate.limits else []
    return "estimate: " + "; ".join(parts)


def show(estimate: Estimate) -> None:
    """Print the line before a launch, if there is anything to run."""
    if estimate.total.seconds.likely:
        err.print(line(estimate))


def consent(estimate: Estimate, budget: Budget, file: str, yes: bool) -> None:
    """Ask for confirmation if the estimate is above the file's limits.

    Raises UserError without a terminal to ask on, and typer.Exit if the answer is no.
    """
    total = estimate.total
    amounts = {
        "hours": total.seconds.likely / 3600,
        "gpu_hours": total.hours.likely if estimate.unit == "GPU" else 0.0,
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
