"""The commands of the first minutes: `raykd quickstart` and `raykd new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raykd.cli.errors import report_errors
from raykd.cli.options import Uri


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (quickstart,):
        app.command()(command)


@report_errors
def quickstart(
    context: typer.Context,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="The whole path in about a minute.")
    ] = False,
    tracking_uri: Uri = None,
) -> None:
    """A first sweep in minutes: a small teacher and real movie reviews, fetched as packages.

    Writes quickstart.yaml here and runs it. Run again, it finds every trial finished.
    """
    from raykd.cli import run
    from raykd.cli.terminal import output
    from raykd.config.sweep import load
    from raykd.data.assets import packages
    from raykd.proposal import quickstart as packaged

    file, line = packaged.write(Path())
    output.err.print(line, markup=False)
    config = load(file)
    home = packages.home()
    for name in dict.fromkeys((config.teacher.model, str(config.task.data))):
        if name in packages.ASSETS and not packages.asset_folder(name, home).is_dir():
            note = packages.ASSETS[name].note
            output.err.print(f"fetching {name} ({note}) into {home}", markup=False)
    run.sweep(context, file, tracking_uri=tracking_uri, smoke=smoke)
