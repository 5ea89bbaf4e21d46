"""Print what a sweep will take: a table for `raykd plan --cluster`, and before a launch a line and,
above a limit of the file, a question."""

from __future__ import annotations

import sys

import typer

from raykd.cli.terminal import console
from raykd.cli.terminal.console import complain, note, say
from raykd.cli.terminal.format import byte_size, disk_range, duration_range, number_range
from raykd.cli.terminal.tables import name, print_table, result
from raykd.config.budget import Budget, above
from raykd.errors import UserError
from raykd.planning.estimate.estimate import Estimate


def table(estimate: Estimate) -> None:
    """Print the table of `raykd plan --cluster`."""
    basis = (
        f"measured on {estimate.device}" if estimate.measured else f"rough, for {estimate.device}"
    )
    say(
        f"{basis}; {estimate.jobs} jobs, {estimate.at_once} at once"
        + (f" ({estimate.note})" if estimate.note else ""),
        "  estimate  ",
    )
    columns = [
        name("phase"), result("time", spread=True),
        result(f"{estimate.unit}-hours", spread=True), result("money", spread=True),
        result("disk", gives_way=1, spread=True), result("traffic", gives_way=2),
    ]  # fmt: skip
    rows = [
        [phase.name, duration_range(phase.seconds), number_range(phase.hours),
         number_range(phase.money) if phase.money else "", disk_range(phase.disk),
         byte_size(phase.traffic.likely)]
        for phase in (*estimate.phases, estimate.total)
        if phase.seconds.high or phase.disk.high
    ]  # fmt: skip
    print_table(columns, rows, indent=4)
    if estimate.limits:
        say("; ".join(estimate.limits), "  limits    ")


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
        note(line(estimate))


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
    if not (sys.stdin.isatty() and console.err.is_terminal):
        raise UserError(f"{reason}; write --yes to run it all the same (nothing was started)")
    if not typer.confirm(f"{reason}. Run it?", err=True):
        complain("nothing was started")
        raise typer.Exit(130)
