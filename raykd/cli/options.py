"""Options that several commands share, and JSON output."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Uri = Annotated[
    str | None, typer.Option("--tracking-uri", help="MLflow store; overrides the file.")
]
Smoke = Annotated[
    bool, typer.Option("--smoke", help="The smoke run of the sweep, not its results.")
]
SweepFile = Annotated[Path, typer.Argument(metavar="SWEEP", help="A sweep file (YAML).")]
# For commands that take a sweep or a table of scores.
MaybeSweep = Annotated[Path | None, typer.Argument(metavar="SWEEP", help="A sweep file (YAML).")]
Table = Annotated[
    Path | None, typer.Option("--from", metavar="TABLE", help="Scores as CSV or Parquet instead.")
]
Margin = Annotated[
    float | None,
    typer.Option(help="In the metric's units; default: the sweep's or the table's own."),
]
SmallerIsBetter = Annotated[
    bool, typer.Option("--smaller-is-better", help="Of the table's metric, as of a loss.")
]


def print_json(value: Any, indent: int | None = 2) -> None:
    """Print a value as JSON; `indent=None` prints it in one line, for a stream of values.

    Numbers that are not finite are null, since JSON has no other word for them.
    """
    from raykd.analysis.as_json import plain

    typer.echo(json.dumps(plain(value), indent=indent, allow_nan=False))


def again(context: typer.Context) -> str:
    """The command line that repeats this command; passwords in the store's address are hidden."""
    from raykd.tracking.store import safe

    options = dict(context.params)
    words = ["raykd", str(context.info_name), str(options.pop("sweep"))]
    for name, value in options.items():
        if value:
            argument = (
                [] if value is True else [safe(value) if name == "tracking_uri" else str(value)]
            )
            words += [f"--{name.replace('_', '-')}", *argument]
    return shlex.join(words)
