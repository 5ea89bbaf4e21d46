"""The command that writes the page: `raykd report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raykd.cli.errors import plainly
from raykd.cli.options import Margin, MaybeSweep, SmallerIsBetter, Table, Uri
from raykd.errors import UserError


def register(app: typer.Typer) -> None:
    """Make it a command of `raykd`."""
    app.command()(report)


@plainly
def report(
    sweep: MaybeSweep = None,
    table: Table = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: report-NAME.html here.")
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write each figure as SVG and PNG, for a paper."),
    ] = None,
    margin: Margin = None,
    smaller_is_better: SmallerIsBetter = False,
    tracking_uri: Uri = None,
) -> None:
    """One HTML page with the verdict, its evidence and its figures; MLflow's UI shows a sweep's."""
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise UserError(f"--out: {out}: write the path of a file, in a folder that is there")
    if figures is not None and figures.exists() and not figures.is_dir():
        raise UserError(f"--figures: {figures} is a file; write a folder")

    from raykd.report import gather, render
    from raykd.sweep import verdict as judged

    opened, verdict = judged.verdict(sweep, table, margin, smaller_is_better, tracking_uri)
    if opened is not None:
        page = gather.of_sweep(opened, verdict)
    else:
        assert table is not None, "a verdict is of a sweep or of a table"
        page = gather.of_table(table, verdict)
    text = render.html(page)
    file = out or Path(f"report-{page.slug}.html")
    file.write_text(text, encoding="utf-8")
    typer.echo(f"{file}: open it in a browser")
    if opened is not None and (run := gather.publish(opened, text)):
        typer.echo(f"also in MLflow: {run}, artifact {gather.ARTIFACT}")
    if figures is not None:
        written = render.write_figures(page, figures)
        typer.echo(f"{figures}: {len(written)} files")
