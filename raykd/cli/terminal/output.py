"""Terminal output: plans and the strategy table. Results go to stdout, the rest to stderr."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from raykd.cli.terminal.format import duration, forecast_line, memory
from raykd.data.data_report import lines
from raykd.planning.truncation import reported

if TYPE_CHECKING:
    from raykd.analysis.verdict.context import TeacherScore
    from raykd.planning.study import Study
    from raykd.sweep.ledger import Ledger
    from raykd.sweep.status import Status
    from raykd.teachers.teacher import Stored

PIPE_WIDTH = 400  # wide enough that lines in pipes and files are neither cut nor wrapped


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


out, err = _console(stderr=False), _console(stderr=True)
say = partial(out.print, markup=False)
"""Print a line without markup: labels, paths and errors may contain brackets."""


def whole(table: Table) -> None:
    """Print a table at its full width, so that a narrower terminal wraps lines and cuts no
    number."""
    table.width = out.measure(table, options=out.options.update(width=PIPE_WIDTH)).maximum
    out.print(table, crop=False)


def read_records(ledger: Ledger) -> None:
    """Read the records of a sweep, with a spinner: the first read from a server can be slow."""
    with err.status(f"reading {ledger.name!r}"):
        ledger.refresh(quick=True)


def plan(overview: Mapping[str, Any]) -> None:
    """Print the output of `raykd plan`."""
    task, teacher, student = overview["task"], overview["teacher"], overview["student"]
    rows = task["rows"]
    labels = f"labels {', '.join(task['labels'])}; " if task["labels"] else ""
    out.print(f"[bold]{escape(overview['sweep'])}[/]")
    say(
        f"  data      {task['data']}: {rows['train']} train, {rows['select']} select, "
        f"{rows['test']} test; {labels}{task['metric']}"
    )
    for line in overview["data"]["lines"]:
        say(f"            {line}")
    ready = "ready" if teacher["ready"] else "to be fine-tuned first"
    say(
        f"  teacher   {teacher['model']}: {teacher['blocks']} blocks x {teacher['width']}, "
        f"{teacher['fingerprint']} ({ready})"
    )
    if (training := teacher["trained"]) and not teacher["ready"]:
        say(
            "            until its score on select stops rising: at most "
            f"{training['most_epochs']} epochs ({training['most_steps']} steps); an estimate "
            f"counts {training['likely_epochs']}"
        )
    say(f"  student   {student['blocks']} blocks x {student['width']}")
    for line in student["moved_inits"]:
        say(f"  init      {line}")
    explore, confirm = overview["explore"], overview["confirm"]
    if explore["maps"]:
        extent = ", all there are" if explore["covered"] else f" of {explore['space']:,}"
        say(
            f"  explore   {explore['missing']} of {explore['maps']} maps to try{extent}; "
            f"{explore['steps']} steps each, {explore['cohorts']} cohorts"
        )
    if confirm["trials"]:
        say(
            f"  confirm   {confirm['missing']} of {confirm['trials']} trials to run "
            f"({len(confirm['seeds'])} seeds); {confirm['steps']} steps each, "
            f"{confirm['cohorts']} cohorts of up to {overview['cohort_size']}"
        )
    if confirm["looks"]:
        looks = ", ".join(map(str, confirm["looks"]))
        say(f"  looks     after {looks} seeds: {confirm['stopped'] or 'none ended it yet'}")
    if len(confirm["hidden_weights"]) > 1:
        say(f"  weights   hidden {', '.join(f'{w:g}' for w in confirm['hidden_weights'])}")
    if confirm["sampled"]:
        say(f"  sampled   {confirm['sampled']} maps drawn at random")
    if confirm["controls"]:
        say(f"  controls  {', '.join(confirm['controls'])}")
    if overview["examples"]:
        say(f"  memory    {memory(overview['memory'])}")
    say(
        f"  in all    {overview['examples']:,} student examples, "
        f"{overview['bytes'] / 2**20:,.0f} MiB of disk at most"
    )
    if overview["examples"]:
        say(f"  states    {_source_line(overview['states'])}")
    if overview["decides"]:
        say(f"  decides   {overview['decides']}")
    if overview["outdated"]:
        say(
            f"  kept      {overview['outdated']} finished trials of this name that the file no "
            "longer asks for; they stay in MLflow and count for nothing here"
        )
    for older in overview["older_rules"]:
        keys = " and ".join(f"`{key}`" for key in older["keys"])
        say(
            f"  rules     {older['finished']} finished trials of this file were made by an older "
            f"default and are not counted; write {keys} to have them back"
        )
    say(f"  results   {overview['tracking_uri']}, experiment {overview['sweep']!r}")


def _source_line(choice: Mapping[str, Any]) -> str:
    live, cached = duration(choice["live_seconds"]), duration(choice["cached_seconds"])
    size = f"{choice['bytes'] / 2**20:,.0f} MiB"
    costs = f"{live} of teacher passes live, {cached} stored once and read ({size})"
    return f"{choice['source']}, {choice['why']}: {costs}" + (
        "" if choice["measured"] else "; rough figures until the teacher is made"
    )


def intent(overview: Mapping[str, Any]) -> None:
    """Print one line on what a sweep will train, before it starts."""
    explore, confirm = overview["explore"]["missing"], overview["confirm"]["missing"]
    if not explore and not confirm:
        why = overview["confirm"]["stopped"] or "every trial is finished"
        err.print(f"{overview['sweep']}: {why}; nothing to train", markup=False)
        return
    parts = ([f"{explore} maps to explore"] if explore else []) + (
        [f"{confirm} trials to confirm"] if confirm else []
    )
    summary = f"{' and '.join(parts)}; results in {overview['tracking_uri']}"
    err.print(f"{overview['sweep']}: {summary}", markup=False)


def data(study: Study) -> None:
    """Print how the rows of the data set were split, cut or dropped."""
    for line in lines(reported(study)):
        say(f"data: {line}")


def teacher(stored: Stored) -> None:
    """Print the teacher's scores and, if early stopping set its length, its number of epochs."""
    say(
        f"teacher {stored.fingerprint}: test {stored.metric} {stored.test:.1f}, "
        f"always the commonest answer {stored.test_majority:.1f}"
    )
    if stored.epochs is not None and stored.epochs == stored.best_epoch:
        say(
            f"  its score on select still rose in the last of {stored.epochs} epochs; state more "
            "(teacher.epochs), or a larger teacher.lr"
        )
    elif stored.epochs is not None:
        say(
            f"  trained for {stored.epochs} epochs, until its score on select stopped rising; kept "
            f"is epoch {stored.best_epoch}"
        )


def _teacher_line(score: TeacherScore) -> str:
    return (
        f"teacher {score.fingerprint}: test {score.metric} {score.test:.2f}, select "
        f"{score.select:.2f}, always the commonest answer {score.majority:.2f}"
    )


def status(current: Status) -> None:
    """Print the output of `raykd status`: counts, failures and the strategy table so far."""
    out.print(
        f"[bold]{escape(current.sweep)}[/]: {current.finished} finished, "
        f"{current.running} running, {current.failed} failed, {current.missing} missing"
    )
    if current.pruned:
        say(
            f"  {current.pruned} explored trials were dropped early, which saved "
            f"{100 * current.saved:.0f} % of explore's steps"
        )
    if current.stopped:
        say(f"  {current.stopped}")
    for trial, error in current.failures[:5]:
        say(f"  {trial} failed: {error}")
    for launch in current.costs[-1:]:
        say(f"  {forecast_line(launch)}")
    if not current.rows:
        if current.teacher is not None:
            say(_teacher_line(current.teacher))
        say("no confirmed trial is finished yet")
        return
    table = Table(
        title=f"test {current.metric}, percent", title_justify="left", box=None, pad_edge=False
    )
    weighted = len({row.weight for row in current.rows} - {""}) > 1
    for name, justify in (("init", "left"), ("strategy", "left"), ("map", "left"),
                          ("weight", "right"), ("mean", "right"), ("seeds", "right"),
                          ("range", "right"), ("to forward", "right")):  # fmt: skip
        if name != "weight" or weighted:
            table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    if (teacher_score := current.teacher) is not None:
        table.add_row(
            "", "teacher", "", *([""] if weighted else []), f"{teacher_score.test:.2f}", "",
            f"select {teacher_score.select:.2f}", "",
        )  # fmt: skip
    for row in current.rows:
        gap = row.against_forward
        name = f"{row.strategy} (control)" if row.control else row.strategy
        table.add_row(
            escape(row.init), name, row.map.replace("[", "\\["),
            *([row.weight] if weighted else []),
            f"{row.mean:.2f}", str(row.seeds),
            f"{row.low:.2f} to {row.high:.2f}", "" if gap is None else f"{gap:+z.2f}",
        )  # fmt: skip
    whole(table)
