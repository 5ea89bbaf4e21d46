"""The commands that judge: `raykd verdict` and `raykd power`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raykd.cli.errors import plainly
from raykd.cli.options import Json, Margin, MaybeSweep, SmallerIsBetter, Table, Uri, print_json


def register(app: typer.Typer) -> None:
    """Make them commands of `raykd`."""
    app.command()(verdict)
    app.command()(power)


@plainly
def verdict(
    sweep: MaybeSweep = None,
    table: Table = None,
    margin: Margin = None,
    smaller_is_better: SmallerIsBetter = False,
    save: Annotated[
        Path | None,
        typer.Option(metavar="TABLE", help="Also write the sweep's scores, CSV or Parquet."),
    ] = None,
    tracking_uri: Uri = None,
    as_json: Json = False,
) -> None:
    """Does the choice of layers matter here? Hypotheses with their evidence, from confirm trials
    alone."""
    from raykd.cli import show_verdict
    from raykd.sweep import verdict as judged

    opened, found = judged.verdict(sweep, table, margin, smaller_is_better, tracking_uri)
    if save is not None:
        typer.echo(judged.save(opened, save), err=True)
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
        float | None,
        typer.Option(help="In the metric's units, as the SD is; default: the pilot's."),
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
    from raykd.cli import show_verdict
    from raykd.sweep import verdict as judged

    found = judged.power(sd, pilot, margin, alpha, comparisons, tracking_uri)
    if as_json:
        print_json(found.to_json())
    else:
        show_verdict.power(found)
