"""The commands that evaluate trained students: `raykd verdict`, `power`, `angles`, `report`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from raykd.cli.errors import report_errors
from raykd.cli.options import (
    Alpha,
    Baseline,
    Claims,
    Columns,
    Json,
    Margin,
    MaybeSweep,
    SmallerIsBetter,
    Smoke,
    SweepFile,
    Table,
    Uri,
    print_json,
)
from raykd.cli.terminal.console import note, say
from raykd.errors import UserError
from raykd.runtime.scratch import whole_file

if TYPE_CHECKING:
    from raykd.analysis.verdict.verdict import Verdict
    from raykd.sweep.state import SweepState


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (verdict, power, angles, report):
        app.command()(command)


@report_errors
def verdict(
    sweep: MaybeSweep = None,
    table: Table = None,
    margin: Margin = None,
    alpha: Alpha = None,
    baseline: Baseline = None,
    columns: Columns = None,
    claim: Claims = None,
    smaller_is_better: SmallerIsBetter = False,
    save: Annotated[
        Path | None,
        typer.Option(metavar="TABLE", help="Also write the sweep's scores, CSV or Parquet."),
    ] = None,
    table_file: Annotated[
        Path | None,
        typer.Option(
            "--table", metavar="FILE", help="Also write the table of strategies, CSV or LaTeX."
        ),
    ] = None,
    tracking_uri: Uri = None,
    smoke: Smoke = False,
    as_json: Json = False,
) -> None:
    """Test the hypotheses about the choice of layers, with evidence.

    Only confirm trials are used: those of the search are left out.
    """
    from raykd.cli.terminal.activity import activity

    with activity(f"reading {_source(sweep, table)}"):
        options = TableChoices(alpha, baseline, columns or [], smaller_is_better, claim or [])
        opened, result = _judged(sweep, table, margin, options, tracking_uri, smoke)
    if save is not None:
        if opened is None:
            raise UserError(f"--save: {save}: goes with a sweep; a table is saved already")
        from raykd.sweep import verdict as sweep_verdict

        note(sweep_verdict.save(opened, save))
    if table_file is not None:
        from raykd.analysis.summary.table_file import write

        rows = write(result, table_file, baseline)
        note(f"{table_file}: {rows} strategies")
    if as_json:
        print_json(result.to_json())
    else:
        from raykd.cli import verdict as tables

        tables.verdict(result)


@report_errors
def power(
    sd: Annotated[
        float | None,
        typer.Option(help="SD of the difference of two strategies under the same seed."),
    ] = None,
    pilot: Annotated[
        Path | None, typer.Option(metavar="SWEEP", help="Estimate the SD from a finished sweep.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="Difference that matters, in the units of the SD; default: the pilot's."),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Error rate; default: the pilot's, or 0.05.")
    ] = None,
    comparisons: Annotated[
        int | None,
        typer.Option(min=1, help="Strategies compared to forward; default: the pilot's, or 4."),
    ] = None,
    tracking_uri: Uri = None,
    as_json: Json = False,
) -> None:
    """Compute how many seeds a margin needs, before the sweep."""
    from raykd.cli.terminal.activity import activity

    with activity("computing the seeds" if pilot is None else f"reading {pilot}"):
        from raykd.sweep import verdict as sweep_verdict

        needed = sweep_verdict.power(sd, pilot, margin, alpha, comparisons, tracking_uri)
    if as_json:
        print_json(needed.to_json())
    else:
        from raykd.cli import verdict as tables

        tables.power(needed)


@report_errors
def angles(
    sweep: SweepFile,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Measure at most this many students now.")
    ] = None,
    tracking_uri: Uri = None,
    smoke: Smoke = False,
    as_json: Json = False,
) -> None:
    """Measure angles between the teacher's blocks, seen from students.

    Students are read from the store, unless they were measured in training.
    """
    from raykd.cli.terminal.activity import Countdown, activity

    with activity(f"reading {sweep}", lasting=True) as update:
        from raykd.sweep import angles as sweep_angles
        from raykd.sweep.sweep import Sweep

        state = Sweep.open(sweep, tracking_uri, smoke=smoke).state()
        progress = Countdown(update, "measuring angles:", "students")
        counts = sweep_angles.measure(state, trials, progress)
        update("testing hypotheses")
        result = sweep_angles.Found.of(state.refreshed())  # the runs have new metrics
    if as_json:
        print_json(result.to_json(counts))
    else:
        from raykd.cli import angles as tables

        tables.angles(result, counts)


@report_errors
def report(
    sweep: MaybeSweep = None,
    table: Table = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Path of the page; default: report-NAME.html."),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write each figure as SVG and PNG, for a paper."),
    ] = None,
    margin: Margin = None,
    alpha: Alpha = None,
    baseline: Baseline = None,
    columns: Columns = None,
    claim: Claims = None,
    smaller_is_better: SmallerIsBetter = False,
    tracking_uri: Uri = None,
    smoke: Smoke = False,
) -> None:
    """Write an HTML page with the verdict and its figures.

    The page of a sweep is stored in MLflow, too.
    """
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise UserError(f"--out: {out}: write the path of a file, in a folder that is there")
    if figures is not None and figures.exists() and not figures.is_dir():
        raise UserError(f"--figures: {figures} is a file; write a folder")

    from raykd.cli.terminal.activity import activity

    with activity(f"reading {_source(sweep, table)}", lasting=True) as update:
        from raykd.report import gather, render

        options = TableChoices(alpha, baseline, columns or [], smaller_is_better, claim or [])
        opened, verdict = _judged(sweep, table, margin, options, tracking_uri, smoke)
        if opened is not None:
            update("reading learning curves")
            page = gather.of_sweep(opened, verdict)
        else:
            assert table is not None, "a verdict is of a sweep or of a table"
            page = gather.of_table(table, verdict)
        update("drawing figures")
        text = render.html(page)
        file = out or Path(f"report-{page.slug}.html")
        try:
            with whole_file(file) as draft:
                draft.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"--out: {file} cannot be written ({error.strerror})") from error
        run = None if opened is None else gather.publish(opened, text)
        if figures is not None:
            update(f"writing figures to {figures}")
            written = render.write_figures(page, figures)
    say(f"{file}: open it in a browser")
    if run:
        say(f"also in MLflow: {run}, artifact {gather.ARTIFACT}")
    if figures is not None:
        say(f"{figures}: {len(written)} files")


def _source(sweep: Path | None, table: Path | None) -> Path:
    """Return what is judged. Raises UserError if it is not one of the two."""
    if sweep is not None and table is not None:
        raise UserError(f"{sweep} and --from {table}: a sweep or a table, not both")
    source = sweep or table
    if source is None:
        raise UserError("nothing to judge; write a sweep file, or --from TABLE")
    return source


class TableChoices(NamedTuple):
    """Options of `verdict` and `report` that go with a table."""

    alpha: float | None
    baseline: str | None
    columns: list[str]
    smaller_is_better: bool
    claim: list[str]


def _judged(
    sweep: Path | None, table: Path | None, margin: float | None, options: TableChoices,
    tracking_uri: str | None, smoke: bool,
) -> tuple[SweepState | None, Verdict]:  # fmt: skip
    """Return the verdict on a sweep, with its state, or on a table. A table needs neither Ray nor
    MLflow, which take seconds to import. Raises UserError."""
    if margin is not None and not (math.isfinite(margin) and margin > 0):
        raise UserError(f"--margin: {margin:g}; write a number above 0, in the metric's units")
    if sweep is None:
        assert table is not None, "a sweep or a table"
        if smoke:
            raise UserError("--smoke goes with a sweep file")
        return None, _judged_table(table, margin, options)
    stated = [name for name, value in options._asdict().items() if value]
    if stated:
        raise UserError(
            f"--{stated[0].replace('_', '-')} goes with --from; a sweep file states what it means"
        )
    from raykd.sweep import verdict as sweep_verdict

    return sweep_verdict.verdict(sweep, margin, tracking_uri, smoke)


def _judged_table(table: Path, margin: float | None, options: TableChoices) -> Verdict:
    from raykd.analysis.scores.from_table import from_table
    from raykd.analysis.scores.table_options import TableOptions, parse_columns
    from raykd.analysis.verdict import public

    alpha = public.ALPHA if options.alpha is None else options.alpha
    if not 0 < alpha < 0.5:
        raise UserError(f"--alpha: {alpha:g}; write a number above 0 and below 0.5")
    columns = parse_columns(options.columns)
    chosen = TableOptions(options.smaller_is_better, options.baseline, columns, options.claim)
    scores = from_table(table, chosen)
    return public.judge_table(scores, margin, alpha, "--margin ")
