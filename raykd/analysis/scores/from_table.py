"""Scores from a user's table, saved by raykd or written by hand.

Every error is one line that names the place and what to write instead."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from raykd.analysis.scores import (
    coarse,
    endpoints,
    lost_rows,
    table_claims,
    table_options,
    units,
)
from raykd.analysis.scores.loss_weights import label, over_weights
from raykd.analysis.scores.metric_names import direction
from raykd.analysis.scores.scores import (
    FORWARD,
    NONE,
    Explored,
    Score,
    Scores,
    refuse_one_strategy,
)
from raykd.analysis.scores.table import rows as table_rows
from raykd.analysis.scores.table import stages as table_stages
from raykd.analysis.scores.table.rows import COLUMNS, Row, number, text
from raykd.analysis.scores.table_options import Rows, TableOptions
from raykd.errors import UserError
from raykd.losses.hidden.schedule import CONSTANT

NEEDED = ("task", "init", "shape", "strategy", "metric", "score")
FINEST = 1e-6  # of the largest score; scores with smaller steps are not rounded


DEFAULTS = TableOptions()


def from_table(path: str | Path, options: TableOptions = DEFAULTS) -> Scores:
    """Return the scores of a CSV or Parquet file.

    Columns: task, init, shape, strategy, seed, metric, score. Optional columns: map, control (true
    or false), weight (of the hidden loss), schedule (its name), select (score on select), examples
    (number of test examples), steps (of the training), margin, scale (perfect score: 1 or 100),
    claims, phase (confirm, or explore for explored maps) and status (or state); others are ignored.
    A row without a score, or whose status is not finished, is a missing run. Without a seed column
    each arm has one score. Scores stay in the table's units. Raises UserError."""
    return from_rows(Path(path), table_rows.read(Path(path)), options)


def from_rows(file: Path, rows: Rows, options: TableOptions = DEFAULTS) -> Scores:
    """The same from rows that were read already; `file` names them in errors."""
    rows = table_options.renamed(file, rows, options.columns)
    columns = list(rows[0])
    if missing := [c for c in NEEDED if c not in columns]:
        raise UserError(
            f"{file}: no column {', '.join(missing)}; a table of scores has {COLUMNS}, this one "
            f"has {', '.join(columns)}"
        )
    rows, baseline_note = table_options.with_baseline(file, rows, options.baseline)
    seeded = "seed" in columns
    seeds, seed_note = table_options.numbered_seeds(file, rows) if seeded else ({}, ())
    confirm, explore = _phases(file, rows)
    kinds = {count: lost_rows.kind(file, count, row) for count, row in confirm}
    lost = {count: kind for count, kind in kinds.items() if kind is not None}
    reported = {count: lost_rows.reported(file, count, rows[count - 1]) for count in lost}
    rows = lost_rows.without_scores(rows, lost)
    by_row = {n: _score(file, n, row, seeds, n in lost) for n, row in confirm}
    _refuse_two_kinds(file, by_row)
    if any(s.schedule for s in by_row.values()):
        by_row = {n: replace(s, schedule=s.schedule or CONSTANT) for n, s in by_row.items()}
    numbered = [(count, score) for count, score in by_row.items() if count not in lost]
    if not numbered:
        raise UserError(f"{file}: no row has a score of a finished run, so nothing can be judged")
    _refuse_twice(file, numbered, seeded)
    items = tuple(score for _, score in numbered)
    explored = tuple(_explored(file, count, row) for count, row in explore)
    metrics = tuple(dict.fromkeys(s.metric for s in items))
    small = _smaller(file, metrics, options.smaller_is_better)
    scale = _scale(file, rows, metrics, items, explored)
    steps = _steps(file, rows, scale)
    margin = table_rows.one_value(file, rows, "margin")
    unfinished = lost_rows.problems([(kind, by_row[count]) for count, kind in lost.items()], items)
    stages, extend = table_stages.read(file, confirm, seeds)
    items, problems = over_weights(items, unfinished, not small)
    claims = table_claims.read(file, rows, options, items, problems)
    refuse_one_strategy(str(file), items, claims)
    return Scores(
        items,
        metric=", ".join(metrics),
        larger_is_better=not small,
        seeded=seeded,
        resolution=min(steps.values()),
        explored=explored,
        problems=problems,
        source=str(file),
        scale=scale,
        steps=tuple(steps.items()),
        margin=_margin(file, margin) if margin else None,
        stages=stages,
        extend=extend,
        notes=baseline_note + seed_note + tuple(
            f"{m}: larger is taken as better; write --smaller-is-better if not"
            for m in metrics if not small and direction(m) is None
        ) + units.doubts(items),
        failed=tuple(
            replace(by_row[count], score=score)
            for count, score in reported.items() if score is not None and lost[count] == "failed"
        ),
        endpoint_margins=endpoints.margins(file, rows),
        claims=claims,
    )  # fmt: skip


def _smaller(file: Path, metrics: Sequence[str], stated: bool) -> bool:
    """Return whether smaller is better. Raises UserError if the metrics differ in that."""
    small = [m for m in metrics if stated or direction(m) == "smaller"]
    if other := [m for m in metrics if small and m not in small]:
        raise UserError(
            f"{file}: of {small[0]} less is better, of {other[0]} more; put them in two tables"
        )
    return bool(small)


def _scale(
    file: Path,
    rows: Sequence[Row],
    metrics: Sequence[str],
    items: Sequence[Score],
    explored: Sequence[Explored],
) -> float | None:
    """Return the perfect score: from a column or percent signs, else inferred from the scores."""
    stated = table_rows.one_value(file, rows, "scale")
    percent = table_rows.in_percent(file, rows)
    scale = number(str(file), stated, "scale") if stated else units.PERCENT if percent else None
    if stated and scale not in (units.FRACTION, units.PERCENT):
        raise UserError(f"{file}: scale: {stated}; write 1 (fractions) or 100 (percent)")
    if percent and scale != units.PERCENT:
        raise UserError(f"{file}: scale: {stated}, but scores have percent signs; write 100")
    largest = max((s.score for s in items), default=0.0)
    if scale is not None and largest > scale:
        raise UserError(
            f"{file}: scale: {scale:g}, but a score is {largest:g}; write them in one unit"
        )
    if scale is None:
        units.refuse_mixed(str(file), items)
        selected = [s.select for s in items if s.select is not None]
        units.refuse_other_unit(str(file), items, selected, "scores of the column select")
        units.refuse_other_unit(
            str(file), items, [e.score for e in explored], "scores of explored maps"
        )
        scale = units.scale(metrics, [s.score for s in items])
    return scale


def _margin(file: Path, written: str) -> float:
    margin = number(str(file), written, "margin")
    if margin <= 0:
        raise UserError(f"{file}: margin: {written}; write a number above 0, in units of the score")
    return margin


def _score(file: Path, count: int, row: Row, seeds: Mapping[str, int], lost: bool) -> Score:
    """Return the score of a row. `seeds`: the number of each seed as it is written, empty without
    seeds. `lost`: whether its run has no score, which is then NaN."""
    where = f"{file}: row {count}"
    if empty := [c for c in NEEDED if not text(row, c) and not (lost and c == "score")]:
        raise UserError(f"{where}: {empty[0]} is empty; leave the row out, or fill it in")
    control = text(row, "control").lower()
    if control not in ("", "true", "false", "0", "1"):
        raise UserError(f"{where}: control: {control!r}; write true or false")
    select = text(row, "select")
    return Score(
        task=text(row, "task"),
        init=text(row, "init"),
        shape=text(row, "shape"),
        strategy=table_options.strategy(text(row, "strategy")),
        seed=seeds.get(text(row, "seed"), 0),
        metric=text(row, "metric"),
        score=math.nan if lost else number(where, text(row, "score")),
        map=text(row, "map"),
        control=control in ("true", "1"),
        select=number(where, select, "select") if select and not lost else None,
        weight=_weight(where, text(row, "weight")),
        endpoints=endpoints.of_row(where, row),
        steps=_training_steps(where, row),
        schedule=text(row, "schedule"),
    )


def _explored(file: Path, count: int, row: Row) -> Explored:
    where = f"{file}: row {count}"
    needed = ("task", "init", "shape", "map", "score")
    if empty := [c for c in needed if not text(row, c)]:
        raise UserError(f"{where}: {empty[0]} is empty; an explored map needs it")
    return Explored(
        task=text(row, "task"),
        init=text(row, "init"),
        shape=text(row, "shape"),
        map=text(row, "map"),
        score=number(where, text(row, "score")),
        weight=_weight(where, text(row, "weight")),
        steps=_training_steps(where, row),
        schedule=text(row, "schedule"),
    )


def _training_steps(where: str, row: Row) -> int | None:
    stated = text(row, "steps")
    return table_rows.whole(where, stated, "steps") if stated else None


def _phases(file: Path, rows: Sequence[Row]) -> tuple[list[tuple[int, Row]], ...]:
    """Return the numbered rows of confirm trials and of explored maps."""
    phases: dict[str, list[tuple[int, Row]]] = {"confirm": [], "explore": []}
    for count, row in enumerate(rows, 1):
        phases[_phase(file, count, row)].append((count, row))
    return phases["confirm"], phases["explore"]


def _phase(file: Path, count: int, row: Row) -> str:
    phase = text(row, "phase").lower() or "confirm"
    if phase not in ("confirm", "explore"):
        raise UserError(f"{file}: row {count}: phase: {phase!r}; write confirm or explore")
    return phase


def _weight(where: str, written: str) -> str:
    return label(number(where, written, "weight")) if written else ""


def _refuse_two_kinds(file: Path, by_row: Mapping[int, Score]) -> None:
    """Raise UserError if rows are not comparable: a task with two metrics, or a strategy that is a
    control in some rows only."""
    metrics: dict[str, tuple[int, str]] = {}
    controls: dict[str, tuple[int, bool]] = {}
    for count, s in by_row.items():
        other, metric = metrics.setdefault(s.task, (count, s.metric))
        if metric != s.metric:
            raise UserError(
                f"{file}: task {s.task}: the metric is {metric} in row {other} and {s.metric} in "
                f"row {count}; scores of two metrics are not compared, so name the tasks apart, "
                f"such as {s.task} ({s.metric}), or write one name for one metric"
            )
        if s.control and s.strategy in (FORWARD, NONE):
            raise UserError(
                f"{file}: row {count}: control: {s.strategy} is what strategies are compared with, "
                "not a control; write false"
            )
        other, control = controls.setdefault(s.strategy, (count, s.control))
        if control != s.control:
            raise UserError(
                f"{file}: {s.strategy} is {'a' if control else 'no'} control in row {other} and "
                f"{'a' if s.control else 'no'} control in row {count}; write one of the two"
            )


def _refuse_twice(file: Path, numbered: Iterable[tuple[int, Score]], seeded: bool) -> None:
    first_rows: dict[tuple[object, ...], tuple[int, str]] = {}
    for count, s in numbered:
        key = (*s.cell, s.strategy, s.seed)
        if key in first_rows:
            first_row, metric = first_rows[key]
            arm = f"{s.task}, {s.init}, {s.shape}, {s.strategy}" + seeded * f", seed {s.seed}"
            arm += f", weight {s.weight}" if s.weight else ""
            arm += f", schedule {s.schedule}" if s.schedule else ""
            advice = "leave one out" if seeded else "add a seed column if these are several runs"
            if metric != s.metric:
                advice = f"name the tasks apart, such as {s.task} ({s.metric})"
            raise UserError(f"{file}: rows {first_row} and {count} are both {arm}; {advice}")
        first_rows[key] = (count, s.metric)


def _steps(file: Path, rows: Sequence[Row], scale: float | None) -> dict[str, float]:
    """Return the smallest step of the scores by task: that of one test example, if the metric has a
    scale and the number of examples is stated or inferred, or that of the last decimal, whichever
    is larger; 0 without either."""
    examples: dict[str, list[int]] = {}
    by_task: dict[str, list[Row]] = {}
    for count, row in enumerate(rows, 1):
        by_task.setdefault(text(row, "task"), []).append(row)
        if stated := text(row, "examples"):
            counted = table_rows.whole(f"{file}: row {count}", stated, "examples")
            examples.setdefault(text(row, "task"), []).append(counted)
    steps = {}
    for task, task_rows in by_task.items():
        scores = [number(str(file), text(row, "score")) for row in task_rows if text(row, "score")]
        if not scores:
            continue
        written = 10.0 ** -table_rows.decimals(task_rows)
        example_count = max(examples.get(task, [0])) or coarse.examples(scores, written, scale)
        of_examples = scale / example_count if scale and example_count else 0.0
        largest = max(map(abs, scores))
        steps[task] = max(of_examples, written if written >= FINEST * largest else 0.0)
    return steps
