"""The commands that show or export the contents of a store: `raykd logs`, `export` and `ui`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raykd.cli.errors import report_errors
from raykd.cli.options import Json, MaybeSweep, Smoke, Uri, print_json


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (logs, export, ui):
        app.command()(command)


@report_errors
def logs(
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="A trial id or an MLflow run id.")],
    tracking_uri: Uri = None,
    as_json: Json = False,
) -> None:
    """Print the parameters, losses and scores of one trial by step.

    The last lines say how the trial ended.
    """
    from raykd.cli.terminal.console import say
    from raykd.tracking.logs import read

    trial_log = read(trial, tracking_uri)
    if as_json:
        print_json(trial_log.to_json())
    else:
        for line in trial_log.lines():
            say(line)


@report_errors
def export(
    run: Annotated[str, typer.Argument(metavar="TRIAL", help="A trial id or an MLflow run id.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    tracking_uri: Uri = None,
) -> None:
    """Write a student as a transformers folder with a model card."""
    from raykd.tracking.export import export as write

    typer.echo(f"{folder}: {write(run, folder, tracking_uri)}")


@report_errors
def ui(
    sweep: MaybeSweep = None,
    tracking_uri: Uri = None,
    smoke: Smoke = False,
    port: Annotated[
        int | None, typer.Option(help="Port on localhost; default: the first free one from 5000.")
    ] = None,
) -> None:
    """Open MLflow's UI at the confirm runs of a sweep."""
    from raykd.cli import mlflow_ui

    mlflow_ui.show(sweep, tracking_uri, smoke, port)
