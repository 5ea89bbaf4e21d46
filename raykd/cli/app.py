"""The command line: parse, call, print. Heavy imports are inside functions to keep `--help`
fast."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from raykd.cli import cache, first, judging, stored
from raykd.cli.errors import report_errors
from raykd.cli.options import Json, Smoke, SweepFile, Uri, print_json
from raykd.errors import UserError
from raykd.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its dim and yellow texts are hard to read on a light background
    context_settings={"help_option_names": ["-h", "--help"]},
)
first.register(app)

Price = Annotated[float | None, typer.Option(help="Price of one GPU hour; overrides budget.price.")]
Address = Annotated[str | None, typer.Option(help="A running Ray cluster; default: this machine.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"raykd {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Test whether it matters which teacher layers a distilled student imitates."""


@app.command()
@report_errors
def maps(
    teacher: Annotated[str, typer.Option(help="Blocks of the teacher; 12+12 for two stacks.")],
    student: Annotated[str, typer.Option(help="Blocks of the student; 3+3 for two stacks.")],
    strategy: Annotated[
        list[str] | None, typer.Option(help="Print only this one; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random strategies.")] = 0,
    preset: Annotated[
        str | None, typer.Option(help="`paper`: match embeddings as the paper's release does.")
    ] = None,
    draw: Annotated[
        bool, typer.Option("--draw", help="Draw each map as a grid of blocks.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the layer map of each strategy.

    A map names the teacher block that each student block imitates.
    """
    from raykd.cli import maps as layer_maps
    from raykd.cli.terminal.console import complain
    from raykd.planning.blocks import deeper_warning

    if preset not in (None, "paper"):
        raise UserError(f"--preset: {preset!r} is not known; write paper, or leave it out")
    teacher_depth = layer_maps.depth("--teacher", teacher)
    student_depth = layer_maps.depth("--student", student)
    named_maps = layer_maps.maps(
        teacher_depth, student_depth, strategy or [], seed, preset == "paper"
    )
    if problem := deeper_warning(student_depth, teacher_depth):
        complain(problem)
    if as_json:
        print_json([{"strategy": name, **m.to_json()} for name, m in named_maps])
        return
    layer_maps.show(named_maps, teacher_depth if draw else None)


@app.command()
@report_errors
def schema(
    command: Annotated[
        str | None,
        typer.Argument(metavar="COMMAND", help="Print the schema of this command's --json."),
    ] = None,
) -> None:
    """Print the JSON schema of a sweep file, or of a --json output."""
    from raykd.cli import schemas
    from raykd.config.sweep import SweepConfig

    if command is not None:
        print_json(schemas.schema(command))
        return
    print_json(SweepConfig.model_json_schema())


@app.command()
@report_errors
def plan(
    sweep: SweepFile,
    tracking_uri: Uri = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Estimate time, disk and cost; may time a few steps.")
    ] = False,
    address: Annotated[
        str | None, typer.Option(help="Estimate for this running Ray cluster.")
    ] = None,
    price: Price = None,
    smoke: Smoke = False,
    as_json: Json = False,
) -> None:
    """List what would run, without starting Ray.

    Nothing is trained, except for the few steps that --cluster may time.
    """
    from raykd.cli.terminal.activity import activity

    with activity(f"reading {sweep}", lasting=True) as update:
        from raykd.config.budget import priced
        from raykd.sweep.overview import outline
        from raykd.sweep.sweep import Sweep

        opened = Sweep.open(sweep, tracking_uri, smoke=smoke, price=price)
        config = opened.study.config
        priced(config.budget, opened.study.file, config.cluster.checkpoint_price)
        opened.ledger.refresh(quick=True)
        state = opened.state()
        overview, estimate = outline(state), None
        if cluster or address:
            update(f"estimating time on {address or 'this machine'}")
            from raykd.cluster import estimate as cluster_estimate

            estimate = cluster_estimate.plan(state, address)
    if as_json:
        print_json({**overview, **({"estimate": estimate.to_json()} if estimate else {})})
        return
    from raykd.cli.terminal import output

    output.plan(overview)
    if estimate:
        from raykd.cli.terminal import costs as show_costs

        show_costs.table(estimate)


@app.command()
@report_errors
def teacher(
    sweep: SweepFile, address: Address = None, tracking_uri: Uri = None, smoke: Smoke = False
) -> None:
    """Fine-tune or load the teacher, and print its test score.

    The score of the majority class is printed beside it.
    """
    from raykd.cli.terminal.activity import activity

    with activity(f"reading {sweep}", lasting=True) as update:
        from raykd.cli.terminal import output
        from raykd.cli.terminal.progress import StepBar
        from raykd.cluster.ray_session import joined, teacher_maker
        from raykd.planning.truncation import reported
        from raykd.sweep.sweep import Sweep
        from raykd.sweep.teacher import ready_teacher
        from raykd.teachers import teacher as teachers

        opened = Sweep.open(sweep, tracking_uri, smoke=smoke)
        study, ledger = opened.study, opened.ledger
        reported(study)  # tokenizes
        if teachers.stored(study.home, study.teacher) is None:
            update(f"fine-tuning {study.config.teacher.model}")
    output.data(study)
    with joined(study, address) if address else nullcontext() as nodes:
        with StepBar.of_teacher(study) as progress:
            stored_teacher = ready_teacher(study, ledger, progress, teacher_maker(nodes))
    output.teacher(stored_teacher)


@app.command(name="sweep")
@report_errors
def run_sweep(
    context: typer.Context,
    sweep: SweepFile,
    address: Address = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Data-parallel workers of each cohort.")
    ] = None,
    tracking_uri: Uri = None,
    smoke: Annotated[
        bool,
        typer.Option(
            "--smoke", help="Run a tiny version in about a minute, stored apart from the results."
        ),
    ] = False,
    price: Price = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Run without a question, whatever the estimate.")
    ] = False,
) -> None:
    """Run the missing trials of a sweep.

    Run the command again after any interruption: finished trials are never repeated.
    """
    from raykd.cli.terminal.activity import activity

    with activity(f"reading {sweep}", lasting=True):
        from raykd.cli import run
    run.sweep(
        context, sweep, address=address, workers=workers, tracking_uri=tracking_uri, smoke=smoke,
        price=price, yes=yes,
    )  # fmt: skip


@app.command()
@report_errors
def status(
    sweep: SweepFile,
    tracking_uri: Uri = None,
    smoke: Smoke = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Repeat every few seconds while a launch runs, on any machine."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Count finished and missing trials, and print the strategy table."""
    from raykd.cli.terminal.activity import activity

    with activity(f"reading {sweep}"):
        from raykd.cli.terminal import output
        from raykd.sweep.status import status as sweep_status
        from raykd.sweep.sweep import Sweep

        opened = Sweep.open(sweep, tracking_uri, smoke=smoke)
        if not watch:
            opened.ledger.refresh(quick=True)
            current = sweep_status(opened.state())
    if watch:
        from raykd.cli.terminal import watch as show_watch

        for view in show_watch.follow(opened):
            if as_json:
                print_json(view.to_json(), indent=None)
            else:
                show_watch.draw(view)
        return
    if as_json:
        print_json(current.to_json())
    else:
        output.status(current)


@app.command()
@report_errors
def doctor(as_json: Json = False) -> None:
    """Check this machine, and say what to do about what is missing."""
    from raykd.cli.doctor import examine
    from raykd.cli.terminal.console import say

    checks = examine()
    if as_json:
        print_json([c.to_json() for c in checks])
    else:
        for check in checks:
            label = f"{'ok ' if check.ok else 'NO '} {check.what:<14} "
            say(check.found, label)
            if check.advice:
                say(check.advice, " " * len(label))
    if not all(c.ok for c in checks):
        raise typer.Exit(1)


app.add_typer(cache.app, name="cache")
stored.register(app)
judging.register(app)
