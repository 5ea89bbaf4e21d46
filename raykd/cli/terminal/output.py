"""Terminal output: plans, the teacher's scores and the strategy table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.text import Text

from raykd.analysis.scores.loss_weights import several_weights
from raykd.cli.terminal.console import complain, note, say
from raykd.cli.terminal.format import duration, forecast_line, memory
from raykd.cli.terminal.tables import Column, name, print_table, result
from raykd.data.data_report import lines
from raykd.planning.truncation import reported
from raykd.tasks.kinds.metric import metric_named

if TYPE_CHECKING:
    from raykd.analysis.verdict.context import TeacherScore
    from raykd.planning.study import Study
    from raykd.sweep.status import Status
    from raykd.teachers.teacher import Stored

SHOWN = 5  # failures that `raykd status` lists
LABEL = 12  # columns of the labels of `raykd plan`, with their indent


def plan(overview: Mapping[str, Any]) -> None:
    """Print the output of `raykd plan`."""
    say(Text(overview["sweep"], style="bold"))
    _plan_of_models(overview)
    _plan_of_trials(overview)
    if overview["examples"]:
        _entry("memory", memory(overview["memory"]))
    _entry(
        "in all",
        f"{overview['examples']:,} student examples, {overview['bytes'] / 2**20:,.0f} MiB of disk "
        "at most",
    )
    if overview["examples"]:
        _entry("states", _source_line(overview["states"]))
    if overview["decides"]:
        _entry("decides", overview["decides"])
    for number, claim in enumerate(overview["claims"], 1):
        _entry("" if number > 1 else "claims", f"C{number}: {claim}")
    for line in _rejudged(overview):
        _entry("judgement", line)
    if overview["outdated"]:
        _entry(
            "kept",
            f"{overview['outdated']} finished trials of this name that the file no longer asks "
            "for; they stay in MLflow and count for nothing here",
        )
    for older in overview["older_rules"]:
        keys = " and ".join(f"`{key}`" for key in older["keys"])
        _entry(
            "rules",
            f"{older['finished']} finished trials of this file were made by an older default and "
            f"are not counted; write {keys} to have them back",
        )
    _entry("results", f"{overview['tracking_uri']}, experiment {overview['sweep']!r}")


def _rejudged(overview: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each way in which the next verdict follows a final one."""
    judgement, changed = overview["judgement"], overview["changed_strategies"]
    return [*([judgement["says"]] if judgement else []), *(changed["says"] if changed else [])]


def _entry(label: str, text: str) -> None:
    """Print a line of `raykd plan`; an empty label continues the entry above."""
    say(text, f"  {label}".ljust(LABEL))


def _plan_of_models(overview: Mapping[str, Any]) -> None:
    """Print the lines on the data, the teacher and the student."""
    task, teacher, student = overview["task"], overview["teacher"], overview["student"]
    rows = task["rows"]
    labels = f"labels {', '.join(task['labels'])}; " if task["labels"] else ""
    _entry(
        "data",
        f"{task['data']}: {rows['train']} train, {rows['select']} select, {rows['test']} test; "
        f"{labels}{task['metric']}",
    )
    for line in overview["data"]["lines"]:
        _entry("", line)
    ready = "ready" if teacher["ready"] else "to be fine-tuned first"
    _entry(
        "teacher",
        f"{teacher['model']}: {teacher['blocks']} blocks x {teacher['width']}, "
        f"{teacher['fingerprint']} ({ready})",
    )
    if (training := teacher["trained"]) and not teacher["ready"]:
        _entry(
            "",
            f"until its score on select stops rising: at most {training['most_epochs']} epochs "
            f"({training['most_steps']} steps); an estimate counts {training['likely_epochs']}",
        )
    licensed = {teacher["model"]: teacher["license"], task["data"]: task["license"]}
    if packaged := [f"{name} {license}" for name, license in licensed.items() if license]:
        _entry("licenses", "; ".join(packaged))
    _entry("student", f"{student['blocks']} blocks x {student['width']}")
    for line in student["moved_inits"]:
        _entry("init", line)
    for line in student["warnings"]:
        _entry("warning", line)


def _maps(space: int) -> str:
    """Return the size of a space of maps; of a large one, its order."""
    return f"{space:,}" if space < 10**9 else f"some 10^{len(str(space)) - 1}"


def _plan_of_trials(overview: Mapping[str, Any]) -> None:
    """Print the lines on explore and confirm."""
    explore, confirm = overview["explore"], overview["confirm"]
    if explore["maps"]:
        extent = ", all there are" if explore["covered"] else f" of {_maps(explore['space'])}"
        _entry(
            "explore",
            f"{explore['missing']} of {explore['maps']} maps to try{extent}; "
            f"{explore['steps']} steps each, {explore['cohorts']} cohorts",
        )
    if confirm["trials"]:
        _entry(
            "confirm",
            f"{confirm['missing']} of {confirm['trials']} trials to run "
            f"({len(confirm['seeds'])} seeds); {confirm['steps']} steps each, "
            f"{confirm['cohorts']} cohorts of up to {overview['cohort_size']}",
        )
    if confirm["looks"]:
        seeds = ", ".join(map(str, confirm["looks"]))
        stopped = confirm["stopped"] or "none has ended it so far"
        _entry("interim", f"analyses after {seeds} seeds: {stopped}")
    if len(confirm["hidden_weights"]) > 1:
        _entry("weights", f"hidden {', '.join(f'{w:g}' for w in confirm['hidden_weights'])}")
    for i, line in enumerate(confirm["schedules"]):
        _entry("" if i else "schedules", line)
    if confirm["sampled"]:
        _entry("sampled", f"{confirm['sampled']} maps drawn at random")
    if confirm["controls"]:
        _entry("controls", ", ".join(confirm["controls"]))


def _source_line(choice: Mapping[str, Any]) -> str:
    live, cached = duration(choice["live_seconds"]), duration(choice["cached_seconds"])
    size = f"{choice['bytes'] / 2**20:,.0f} MiB"
    costs = f"{live} of teacher passes live, {cached} stored once and read ({size})"
    return f"{choice['source']}, {choice['why']}: {costs}" + (
        "" if choice["measured"] else "; rough figures until the teacher is made"
    )


def intent(overview: Mapping[str, Any]) -> None:
    """Print one line on what a sweep will train, before it starts."""
    for warning in overview["student"]["warnings"]:
        complain(warning)
    for line in _rejudged(overview):
        complain(line)
    explore, confirm = overview["explore"]["missing"], overview["confirm"]["missing"]
    if not explore and not confirm:
        why = overview["confirm"]["stopped"] or "every trial is finished"
        note(f"{overview['sweep']}: {why}; nothing to train")
        return
    parts = ([f"{explore} map{'s' * (explore != 1)} to explore"] if explore else []) + (
        [f"{confirm} trial{'s' * (confirm != 1)} to confirm"] if confirm else []
    )
    summary = f"{' and '.join(parts)}; results in {overview['tracking_uri']}"
    note(f"{overview['sweep']}: {summary}")


def data(study: Study) -> None:
    """Print how the rows of the data set were split, cut or dropped."""
    for line in lines(reported(study)):
        say(f"data: {line}")


def teacher(stored: Stored) -> None:
    """Print the teacher's scores and, if early stopping set its length, its number of epochs."""
    metric = metric_named(stored.metric)
    say(
        f"teacher {stored.fingerprint}: test {metric.name} {stored.test:.{metric.decimals}f}, "
        f"{metric.constant} {stored.test_majority:.{metric.decimals}f}"
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
    metric = metric_named(score.metric)
    test, select, constant = (
        f"{value:.{max(2, metric.decimals)}f}"
        for value in (score.test, score.select, score.majority)
    )
    return (
        f"teacher {score.fingerprint}: test {metric.name} {test}, select {select}, "
        f"{metric.constant} {constant}"
    )


def status(current: Status) -> None:
    """Print the output of `raykd status`: counts, failures and the strategy table so far."""
    counts = (
        f": {current.finished} finished, {current.running} running, {current.failed} failed, "
        f"{current.missing} missing"
    )
    say(Text.assemble((current.sweep, "bold"), counts))
    if current.pruned:
        say(
            f"  {current.pruned} explored trials were dropped early, which saved "
            f"{100 * current.saved:.0f} % of explore's steps"
        )
    if current.stopped:
        say(f"  {current.stopped}")
    for trial, error in current.failures[:SHOWN]:
        say(f"  {trial} failed: {error}")
    if more := current.failures[SHOWN:]:
        say(f"  and {len(more)} more failed (all of them: --json)")
    for launch in current.costs[-1:]:
        say(f"  {forecast_line(launch)}")
    if current.teacher is not None:
        say(f"  {_teacher_line(current.teacher)}")
    if current.rows:
        _strategy_table(current)
    else:
        say("no confirmed trial is finished yet")


def _strategy_table(current: Status) -> None:
    columns = [
        name("init"), name("schedule"), name("strategy"), Column("map", left=True, gives_way=2),
        Column("hidden weight"), result("mean"), Column("seeds"), result("range", gives_way=1),
        result("to forward"),
    ]  # fmt: skip
    metric, rows = metric_named(current.metric), []
    digits = f".{max(2, metric.decimals)}f"
    if (teacher_score := current.teacher) is not None:
        score = f"{teacher_score.test:{digits}}"
        rows.append(["", "", "teacher", "", "", score, "", "", ""])
    several = several_weights((row.schedule, row.weight) for row in current.rows)
    for row in current.rows:
        gap = row.against_forward
        rows.append([
            row.init, row.schedule,
            f"{row.strategy} (control)" if row.control else row.strategy, row.map,
            row.weight if row.schedule in several else "", f"{row.mean:{digits}}", str(row.seeds),
            f"{row.low:{digits}} to {row.high:{digits}}",
            "" if gap is None else f"{gap:+z{digits}}",
        ])  # fmt: skip
    unit = ", percent" if metric.percent else ""
    print_table(columns, rows, f"test {current.metric}{unit}")
