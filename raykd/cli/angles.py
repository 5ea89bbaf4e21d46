"""The command that looks at students: `raykd angles`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raykd.cli.errors import plainly
from raykd.cli.options import Json, Uri, print_json


def register(app: typer.Typer) -> None:
    """Make it a command of `raykd`."""
    app.command()(angles)


@plainly
def angles(
    sweep: Annotated[Path, typer.Argument(metavar="SWEEP", help="A sweep file (YAML).")],
    trials: Annotated[
        int | None, typer.Option(min=1, help="Measure at most so many students now.")
    ] = None,
    tracking_uri: Uri = None,
    as_json: Json = False,
) -> None:
    """The angles between the teacher's blocks, seen from the students that were stored or measured
    in training."""
    from raykd.cli import output, show_angles
    from raykd.sweep import angles as angled
    from raykd.sweep.sweep import Sweep

    opened = Sweep.open(sweep, tracking_uri)
    taken = angled.measure(opened, trials, lambda n, of: output.err.print(f"looked at {n} of {of}"))
    found = angled.Found.of(opened)
    if as_json:
        print_json(found.to_json(taken))
    else:
        show_angles.angles(found, taken)
