"""The commands that judge: `raykd verdict` and `raykd power`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raykd.command import Json, Uri, print_json
from raykd.plainly import plainly


def register(app: typer.Typer) -> None:
    """Make them commands of `raykd`."""
    app.command()(verdict)
    app.command()(power)


@plainly
def verdict(
    sweep: Annotated[Path | None, typer.Argument(metavar="[SWEEP]")] = None,
    table: Annotated[
        Path | None, typer.Option("--from", metavar="TABLE", help="Judge a CSV or Parquet table.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="In the metric's units; default: the file's, or 1.0.")
    ] = None,
    smaller_is_better: Annotated[
        bool, typer.Option("--smaller-is-better", help="Of the table's metric, as of a loss.")
    ] = False,
    tracking_uri: Uri = None,
    as_json: Json = False,
) -> None:
    """Does the choice of layers matter here? Hypotheses with their evidence, from confirm trials
    alone."""
    from raykd import judged, show_verdict

    found = judged.verdict(sweep, table, margin, smaller_is_better, tracking_uri)
    if as_json:
        print_json(found.to_json())
    else:
        show_verdict.verdict(found)


@plainly
def power(
    sd: Annotated[
        float | None, typer.Option(help="SD of a paired difference: two strategies, one seed.")
    ] = None,
    pilot: Annotated[
        Path | None, typer.Option(metavar="SWEEP", help="Learn the SD from a sweep that has run.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="In the metric's units; default: the pilot's, or 1.0.")
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="Default: the pilot's, or 0.05.")] = None,
    comparisons: Annotated[
        int | None,
        typer.Option(min=1, help="Strategies compared to forward; default: the pilot's, or 4."),
    ] = None,
    tracking_uri: Uri = None,
    as_json: Json = False,
) -> None:
    """How many seeds a margin takes, before the sweep."""
    from raykd import judged, show_verdict

    found = judged.power(sd, pilot, margin, alpha, comparisons, tracking_uri)
    if as_json:
        print_json(found.to_json())
    else:
        show_verdict.power(found)
