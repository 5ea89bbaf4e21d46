"""`raykd ui`: MLflow's own pages at the confirm runs of a sweep."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from raykd.cli.errors import refuse_taken
from raykd.errors import UserError
from raykd.runtime.signals import stop_on_sigterm

if TYPE_CHECKING:  # raykd.tracking must turn off telemetry before MLflow is imported
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

PORTS = range(5000, 5100)
MOST_LISTED = 10
"""Sweeps that are listed beside the one that is opened."""


def show(sweep: Path | None, tracking_uri: str | None, smoke: bool, port: int | None) -> None:
    """Start MLflow's server on the sweep's store and open the sweep's confirm runs; Ctrl-C ends it.
    A store that is a server needs no other one. Raises UserError."""
    name = None
    if sweep is not None:
        name, tracking_uri = _of_file(sweep, tracking_uri, smoke)
    elif smoke:
        raise UserError("--smoke: goes with a sweep file")
    typer.echo("opening the store", err=True)
    from raykd.tracking import store
    from raykd.tracking.pages import links, server

    uri = store.resolve(tracking_uri, Path.cwd())
    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not file.exists():
        raise UserError(f"{uri}: no such store; run `raykd sweep`, or name the sweep's file")
    client = store.connect(uri)
    experiments = _experiments(client, name, store.safe(uri))
    if uri.startswith(("http://", "https://")):
        base = links.base_of(uri)
        _open(_print_links(client, experiments, base, server.version(base)))
        return
    port = _port(port)
    stop_on_sigterm()
    base = f"http://{server.HOST}:{port}"
    try:
        typer.echo(f"starting MLflow's server on {store.safe(uri)}", err=True)
        with Console(stderr=True).status("") as line:

            def tell(seconds: float) -> None:
                line.update(f"waiting for it to answer: {seconds:.0f} s")

            with server.serving(uri, port, tell) as process:
                line.stop()
                _open(_print_links(client, experiments, base, server.installed()))
                typer.echo(f"MLflow's server is on {base}; Ctrl-C ends it", err=True)
                process.wait()
                raise UserError(f"MLflow's server ended by itself, with code {process.returncode}")
    except KeyboardInterrupt:
        typer.echo("MLflow's server is stopped", err=True)


def _of_file(sweep: Path, tracking_uri: str | None, smoke: bool) -> tuple[str, str | None]:
    """Return the sweep's name and the address of its store, as far as they are stated."""
    from raykd.config.sweep import load, smoke_config

    config = smoke_config(load(sweep)) if smoke else load(sweep)
    return config.name, tracking_uri or config.tracking.uri


def _experiments(client: MlflowClient, name: str | None, address: str) -> Sequence[Experiment]:
    """Return the experiment of this name; without a name those of every sweep, the newest first.
    Raises UserError where there is none."""
    from raykd.tracking import store
    from raykd.tracking.locks import BOARD

    if name is not None:
        experiment = store.find_experiment(client, name)
        if experiment is None:
            raise UserError(f"{address} holds no sweep {name!r} yet; run `raykd sweep` first")
        return [client.get_experiment(experiment)]
    sweeps = [e for e in client.search_experiments() if BOARD in e.tags]
    if not sweeps:
        raise UserError(f"{address} holds no sweep yet; run `raykd sweep` first")
    return sorted(sweeps, key=lambda e: e.last_update_time or 0, reverse=True)


def _print_links(
    client: MlflowClient, experiments: Sequence[Experiment], base: str, version: str | None
) -> str:
    """Print a link for each sweep and return the first."""
    from raykd.tracking import ledger
    from raykd.tracking.pages import links

    shown = [
        links.confirm_runs(
            base, e.experiment_id, e.tags, ledger.confirm_metric(client, e.experiment_id), version
        )
        for e in experiments[: 1 + MOST_LISTED]
    ]
    for experiment, link in zip(experiments, shown, strict=False):
        typer.echo(f"{experiment.name}: {link}")
    if more := len(experiments) - len(shown):
        typer.echo(f"and {more} older sweeps: {base}/#/experiments")
    return shown[0]


def _port(stated: int | None) -> int:
    """Return the stated port, or the first free one of PORTS. Raises UserError."""
    if stated is not None:
        refuse_taken(stated)
        return stated
    for port in PORTS:
        with suppress(UserError):
            refuse_taken(port)
            if port != PORTS[0]:
                typer.echo(f"port {PORTS[0]} is in use; taking {port}", err=True)
            return port
    raise UserError(f"ports {PORTS[0]} to {PORTS[-1]} are in use; write another one (--port)")


def _open(link: str) -> None:
    """Open the link in a browser if this machine has a display."""
    if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(link)
