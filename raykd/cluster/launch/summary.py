"""The summary of a sweep on MLflow's own pages, written at the end of a launch: a note on the
experiment and on the launch's run, and metrics of that run."""

from __future__ import annotations

import re
from collections.abc import Callable

from raykd.analysis.scores.loss_weights import several_weights
from raykd.analysis.verdict.context import TeacherScore
from raykd.errors import UserError, first_line
from raykd.sweep.state import SweepState
from raykd.sweep.status import Status, status
from raykd.sweep.strategy_table import Row
from raykd.tasks.kinds.metric import metric_named
from raykd.tracking.launch import TAG, Launch
from raykd.tracking.pages.links import on_page

SPACE = "&emsp;"
"""Before each cell but the first: MLflow's pages leave no room between the columns of a table."""


def leave(state: SweepState, launch: Launch, tell: Callable[[str], None]) -> None:
    """Write the summary. No result depends on it: where that fails, `tell` is called with one
    line."""
    try:
        _leave(state, launch)
    except Exception as error:
        tell("MLflow's pages show no summary of this launch: " + first_line(error))


def _leave(state: SweepState, launch: Launch) -> None:
    experiment = state.ledger.experiment
    current = status(state)
    links = [
        f"[Confirm runs, the best first]({on_page(experiment)})",
        f"[This launch]({on_page(experiment, launch.run_id)})",
    ]
    text = note([*answer(state), counts(current)], current, links, state.study.file)
    launch.summarise(experiment, text, metrics(current))


def answer(state: SweepState) -> list[str]:
    """Return the verdict's headline, and its caveats, as paragraphs."""
    from raykd.analysis.summary.headline import headline
    from raykd.report.sentences import sentence
    from raykd.sweep import verdict  # imports scipy

    try:
        result = verdict.summary(state)
    except UserError as error:
        return [f"No verdict yet: {first_line(error)}"]
    return [f"**{headline(result)}**", *(sentence(c.says) for c in result.caveats)]


def counts(current: Status) -> str:
    missing = f", {current.missing} still missing" if current.missing else ""
    finished = f"{current.finished} trial{'s' * (current.finished != 1)} finished"
    return f"{finished}, {current.failed} failed{missing}."


def note(paragraphs: list[str], current: Status, links: list[str], file: str) -> str:
    """Return the note as Markdown of at most TAG characters, which every release of MLflow takes
    for a run and for an experiment. Strategies that do not fit are named by their number."""
    end = [" · ".join(links), f"Details: `raykd verdict {file}`, `raykd report {file}`."]
    for rows in range(len(current.rows), -1, -1):
        table = _table(current, rows)
        if more := len(current.rows) - rows:
            table += f"\n\n{more} more rows: `raykd status {file}`."
        text = "\n\n".join([*paragraphs, table, *end])
        if len(text) <= TAG:
            return text
    return "\n\n".join([*paragraphs[:1], *end])[:TAG]


def _table(current: Status, count: int) -> str:
    columns = ["strategy", f"mean test {current.metric}", "seeds", "range", "to forward"]
    factors = _several(current.rows)
    inits, schedules, weights = (name in factors for name in ("init", "schedule", "weight"))
    digits = f".{max(2, metric_named(current.metric).decimals)}f"
    first = [*(["init"] if inits else []), *(["schedule"] if schedules else [])]
    head = [*first, *columns, *(["hidden weight"] if weights else [])]
    lines = [head]
    if current.teacher is not None:
        cells = ["teacher", f"{current.teacher.test:{digits}}", "", "", ""]
        lines.append([*("" for _ in first), *cells, *([""] if weights else [])])
    for row in current.rows[:count]:
        gap = "" if row.against_forward is None else f"{row.against_forward:+{digits}}"
        name = f"{row.strategy} (control)" if row.control else row.strategy
        extent = f"{row.low:{digits}} to {row.high:{digits}}"
        cells = [name, f"{row.mean:{digits}}", str(row.seeds), extent, gap]
        place = [*([row.init] if inits else []), *([row.schedule] if schedules else [])]
        lines.append([*place, *cells, *([row.weight] if weights else [])])
    heads, *rest = (f" | {SPACE}".join(c.replace("|", "/") for c in line) for line in lines)
    rule = " | ".join(["---"] * len(head))
    return "\n".join(f"| {line} |" for line in (heads, rule, *rest))


def _several(rows: tuple[Row, ...]) -> frozenset[str]:
    """Return the factors of which there are several levels: init, schedule, and weight of the
    hidden loss."""
    weights = several_weights((r.schedule, r.weight) for r in rows)
    several = {"init": len({r.init for r in rows}) > 1, "weight": bool(weights),
               "schedule": len({r.schedule for r in rows}) > 1}  # fmt: skip
    return frozenset(name for name, many in several.items() if many)


def metrics(current: Status) -> dict[str, float]:
    """Return the summary as metrics, in two groups of MLflow's charts: mean test scores by
    strategy, and numbers of trials."""
    group = f"mean_test_{current.metric}"
    factors = _several(current.rows)
    means = {f"{group}/{_name(row, factors)}": row.mean for row in current.rows}
    teacher: TeacherScore | None = current.teacher
    if teacher is not None:
        means[f"{group}/teacher"] = teacher.test
    trials = {
        "finished": current.finished, "failed": current.failed, "missing": current.missing,
        "pruned": current.pruned,
    }  # fmt: skip
    return {**means, **{f"trials/{name}": float(number) for name, number in trials.items()}}


def _name(row: Row, factors: frozenset[str]) -> str:
    """Return an arm's name in the characters that MLflow takes for a metric."""
    parts = [
        row.strategy, row.init if "init" in factors else "",
        f"weight {row.weight}" if "weight" in factors else "",
        f"schedule {row.schedule}" if "schedule" in factors else "",
    ]  # fmt: skip
    return re.sub(r"[^\w.-]+", " ", " ".join(p for p in parts if p)).strip()
