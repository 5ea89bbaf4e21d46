"""Runs a sweep for a command: `raykd sweep` and `raykd quickstart`."""

from __future__ import annotations

from pathlib import Path

import typer

from raykd.cli import next_steps
from raykd.cli.options import again, program
from raykd.cli.terminal import output
from raykd.cli.terminal.activity import activity
from raykd.cli.terminal.console import complain
from raykd.cli.terminal.progress import Terminal
from raykd.cluster.launch import run_sweep as launch
from raykd.runtime.signals import stop_on_sigterm
from raykd.sweep.status import status
from raykd.sweep.sweep import Sweep


def sweep(
    context: typer.Context,
    file: Path,
    *,
    address: str | None = None,
    workers: int | None = None,
    tracking_uri: str | None = None,
    smoke: bool = False,
    price: float | None = None,
    yes: bool = False,
) -> None:
    """Run what is missing, and print the results and what to run next. Exits with 1 if trials
    failed, with 130 if it was stopped."""
    stop_on_sigterm()
    with activity(f"checking {file} against its data and models", lasting=True):
        opened = Sweep.open(file, tracking_uri, workers=workers, smoke=smoke, price=price)
    try:
        state, outcome = launch.run_sweep(opened, address, Terminal(yes))
    except KeyboardInterrupt:
        typer.echo(
            f"raykd: stopped; finished trials are kept. Go on with: {again(context)}", err=True
        )
        raise typer.Exit(130) from None
    output.status(status(state))
    next_steps.show(state, file, tracking_uri, smoke)
    if outcome is not None and outcome.leaked:
        complain(f"{outcome.leaked} placement groups had no owner: freed")
    if outcome is not None and outcome.budget:
        typer.echo(
            f"raykd: stopped at {outcome.budget}; not run: {outcome.not_run()}. Go on with: "
            f"{again(context)}",
            err=True,
        )
    elif outcome is not None and outcome.count:
        complain(f"{outcome.count} trials did not finish; see `{program()} status {file}`")
        raise typer.Exit(1)
