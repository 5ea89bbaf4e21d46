"""The commands that show or export the contents of a store: `raykd logs`, `export` and `ui`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from raykd.cli.errors import refuse_taken, report_errors
from raykd.cli.options import Json, Uri, print_json


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (logs, export, ui):
        app.command()(command)


@report_errors
def logs(
    trial: Annotated[str, typer.Argument(help="A trial id or an MLflow run id.")],
    tracking_uri: Uri = None,
    as_json: Json = False,
) -> None:
    """Show one trial: parameters, losses and scores by step.

    The end of the log says how the trial ended.
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
    run: Annotated[str, typer.Argument(help="An MLflow run id or a trial id.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    tracking_uri: Uri = None,
) -> None:
    """Write a trained student as a transformers folder with a card."""
    from raykd.tracking.export import export as write

    typer.echo(f"{folder}: {write(run, folder, tracking_uri)}")


@report_errors
def ui(
    sweep: Annotated[Path | None, typer.Argument(metavar="SWEEP")] = None,
    tracking_uri: Uri = None,
    port: Annotated[int, typer.Option(help="On localhost.")] = 5000,
) -> None:
    """MLflow's UI on the sweep's store, on localhost."""
    from raykd.config.sweep import load
    from raykd.tracking import store

    chosen_uri = tracking_uri or (load(sweep).tracking.uri if sweep else None)
    uri = store.resolve(chosen_uri, Path.cwd())
    if uri.startswith(("http://", "https://")):
        typer.echo(f"The store is a server with a UI of its own: {store.safe(uri)}")
        return
    store.connect(uri)
    refuse_taken(port)
    typer.echo(f"MLflow on http://127.0.0.1:{port} (Ctrl-C ends it)")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri,
               "--host", "127.0.0.1", "--port", str(port)]  # fmt: skip
    os.execv(sys.executable, command)
