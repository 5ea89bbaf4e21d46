"""Options that several commands share, and JSON output."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Uri = Annotated[
    str | None, typer.Option("--tracking-uri", help="MLflow store; overrides the sweep file's.")
]
Smoke = Annotated[bool, typer.Option("--smoke", help="Use the smoke run instead of the sweep.")]
SweepFile = Annotated[Path, typer.Argument(metavar="SWEEP", help="A sweep file (YAML).")]
# For commands that take a sweep or a table of scores.
MaybeSweep = Annotated[Path | None, typer.Argument(metavar="SWEEP", help="A sweep file (YAML).")]
Table = Annotated[
    Path | None,
    typer.Option("--from", metavar="TABLE", help="Read scores from a CSV or Parquet file instead."),
]
Margin = Annotated[
    float | None,
    typer.Option(
        help="Difference that matters, in the metric's units; default: the sweep's or the table's."
    ),
]
SmallerIsBetter = Annotated[
    bool, typer.Option("--smaller-is-better", help="A smaller score is better, as for a loss.")
]
Alpha = Annotated[
    float | None, typer.Option(help="For a table: error rate of each hypothesis; default: 0.05.")
]
Baseline = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="For a table: the strategy in the place of forward."),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(metavar="OURS=THEIRS", help="For a table: another name of a column; repeatable."),
]

Claims = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CLAIM",
        help="For a table: a claim as in a sweep file, such as "
        "'{better: last, than: forward, by: 0}'; repeatable.",
    ),
]


def print_json(value: Any, indent: int | None = 2) -> None:
    """Print a value as JSON; `indent=None` prints it in one line, for a stream of values.

    Numbers that are not finite are null, since JSON has no other word for them.
    """
    from raykd.analysis.as_json import plain

    typer.echo(json.dumps(plain(value), indent=indent, allow_nan=False))


def program() -> str:
    """Return what to write to run raykd from here: `raykd` where the shell finds this one, else its
    path. A virtual environment that is not activated is such a case."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py" and started.parent.name == "raykd":
        return f"{_command(Path(sys.executable))} -m raykd"
    return _command(started) if started.stem == "raykd" else "raykd"


def _command(file: Path) -> str:
    """The name of a program that the shell finds under it, or its path. Links are not followed:
    the Python of an environment is a link to another one."""
    found = shutil.which(file.name)
    path = Path(os.path.abspath(file))
    if found is not None and Path(os.path.abspath(found)) == path:
        return shlex.quote(file.name)
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def command_line(command: str, *arguments: object, uri: str | None = None) -> str:
    """Return a command of raykd as a shell takes it; passwords in the store's address are
    hidden."""
    words = [command, *map(str, arguments)]
    if uri is not None:
        from raykd.tracking.store import safe

        words += ["--tracking-uri", safe(uri)]
    return f"{program()} {shlex.join(words)}"


def again(context: typer.Context) -> str:
    """Return the command line that repeats a command; passwords in the store's address are
    hidden."""
    from raykd.tracking.store import safe

    options = dict(context.params)
    sweep = options.pop("sweep", None)
    words = [str(context.info_name), *([] if sweep is None else [str(sweep)])]
    for name, value in options.items():
        if value:
            argument = (
                [] if value is True else [safe(value) if name == "tracking_uri" else str(value)]
            )
            words += [f"--{name.replace('_', '-')}", *argument]
    return f"{program()} {shlex.join(words)}"
