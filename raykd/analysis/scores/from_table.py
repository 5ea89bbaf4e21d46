"""Scores from a table that a person has: raykd's own or one that was typed.

Every mistake is one line: what, where, what to write instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from raykd.analysis.scores import table_rows, units
from raykd.analysis.scores.loss_weights import label, over_weights
from raykd.analysis.scores.metric_names import direction
from raykd.analysis.scores.scores import Explored, Score, Scores, refuse_one_strategy
from raykd.analysis.scores.table_rows import COLUMNS, Row, number, text
from raykd.errors import UserError

NEEDED = ("task", "init", "shape", "strategy", "metric", "score")
FINEST = 1e-6  # of the largest score: what is written with smaller steps was not rounded


def from_table(path: str | Path, smaller_is_better: bool = False) -> Scores:
    """A CSV or Parquet file with the columns task, init, shape, strategy, seed, metric, score; map,
    control (true or false), weight (of the hidden loss), select (its score), examples (that a
    score is over), margin, scale (1 or 100: what a perfect score is) and phase (confirm, or
    explore for a map that a search tried) if you like, others are not read. Without a seed column
    one score stands for each arm. Scores stay in the table's units. Raises UserError."""
    file = Path(path)
    rows = table_rows.read(file)
    columns = list(rows[0])
    if missing := [c for c in NEEDED if c not in columns]:
        raise UserError(
            f"{file}: no column {', '.join(missing)}; a table of scores has {COLUMNS}, this one "
            f"has {', '.join(columns)}"
        )
    seeded = "seed" in columns
    phases: dict[str, list[tuple[int, Row]]] = {"confirm": [], "explore": []}
    for count, row in enumerate(rows, 1):
        phases[_phase(file, count, row)].append((count, row))
    numbered = [(count, _score(file, count, row, seeded)) for count, row in phases["confirm"]]
    _refuse_twice(file, numbered, seeded)
    items = tuple(score for _, score in numbered)
    tried = tuple(_explored(file, count, row) for count, row in phases["explore"])
    refuse_one_strategy(str(file), items)
    metrics = tuple(dict.fromkeys(s.metric for s in items))
    small = _smaller(file, metrics, smaller_is_better)
    scale = _scale(file, rows, metrics, items, tried)
    steps = _steps(file, rows, scale)
    margin = table_rows.one_value(file, rows, "margin")
    items, problems = over_weights(items, (), not small)
    return Scores(
        items,
        metric=", ".join(metrics),
        larger_is_better=not small,
        seeded=seeded,
        resolution=min(steps.values()),
        explored=tried,
        problems=problems,
        source=str(file),
        scale=scale,
        steps=tuple(steps.items()),
        margin=_margin(file, margin) if margin else None,
        notes=tuple(
            f"{m}: larger is taken as better; write --smaller-is-better if not"
            for m in metrics if not small and direction(m) is None
        ) + units.doubts(items),
    )  # fmt: skip


def _smaller(file: Path, metrics: Sequence[str], stated: bool) -> bool:
    """Whether smaller is better. Raises UserError where the metrics differ in that."""
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
    tried: Sequence[Explored],
) -> float | None:
    """What a perfect score is: as stated by a column or by percent signs, else by the scores."""
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
            str(file), items, [e.score for e in tried], "scores of explored maps"
        )
        scale = units.scale(metrics, [s.score for s in items])
    return scale


def _margin(file: Path, written: str) -> float:
    margin = number(str(file), written, "margin")
    if margin <= 0:
        raise UserError(f"{file}: margin: {written}; write a number above 0, in units of the score")
    return margin


def _score(file: Path, count: int, row: Row, seeded: bool) -> Score:
    where = f"{file}: row {count}"
    if empty := [c for c in NEEDED if not text(row, c)]:
        raise UserError(f"{where}: {empty[0]} is empty; leave the row out, or fill it in")
    control = text(row, "control").lower()
    if control not in ("", "true", "false", "0", "1"):
        raise UserError(f"{where}: control: {control!r}; write true or false")
    select = text(row, "select")
    return Score(
        task=text(row, "task"),
        init=text(row, "init"),
        shape=text(row, "shape"),
        strategy=text(row, "strategy").lower().replace("-", "_").replace(" ", "_"),
        seed=_seed(where, text(row, "seed")) if seeded else 0,
        metric=text(row, "metric"),
        score=number(where, text(row, "score")),
        map=text(row, "map"),
        control=control in ("true", "1"),
        select=number(where, select, "select") if select else None,
        weight=_weight(where, text(row, "weight")),
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
    )


def _phase(file: Path, count: int, row: Row) -> str:
    phase = text(row, "phase").lower() or "confirm"
    if phase not in ("confirm", "explore"):
        raise UserError(f"{file}: row {count}: phase: {phase!r}; write confirm or explore")
    return phase


def _seed(where: str, written: str) -> int:
    try:
        return int(written.removesuffix(".0"))  # a column with a gap is written as floats
    except ValueError:
        raise UserError(
            f"{where}: seed: {written!r} is not a whole number; number the runs, the same number "
            "for runs that share their data order, or leave the column out"
        ) from None


def _weight(where: str, written: str) -> str:
    return label(number(where, written, "weight")) if written else ""


def _refuse_twice(file: Path, numbered: Iterable[tuple[int, Score]], seeded: bool) -> None:
    seen: dict[tuple[object, ...], tuple[int, str]] = {}
    for count, s in numbered:
        key = (*s.cell, s.strategy, s.seed)
        if key in seen:
            other, metric = seen[key]
            what = f"{s.task}, {s.init}, {s.shape}, {s.strategy}" + seeded * f", seed {s.seed}"
            what += f", weight {s.weight}" if s.weight else ""
            advice = "leave one out" if seeded else "add a seed column if these are several runs"
            if metric != s.metric:
                advice = f"name the tasks apart, such as {s.task} ({s.metric})"
            raise UserError(f"{file}: rows {other} and {count} are both {what}; {advice}")
        seen[key] = (count, s.metric)


def _steps(file: Path, rows: Sequence[Row], scale: float | None) -> dict[str, float]:
    """The smallest step of a task's scores: of one test example where their number is stated and
    the metric has a scale, or of the last decimal that is written, whichever is larger; 0 where
    there is neither."""
    examples: dict[str, list[int]] = {}
    by_task: dict[str, list[Row]] = {}
    for count, row in enumerate(rows, 1):
        by_task.setdefault(text(row, "task"), []).append(row)
        if stated := text(row, "examples"):
            counted = table_rows.whole(f"{file}: row {count}", stated, "examples")
            examples.setdefault(text(row, "task"), []).append(counted)
    steps = {}
    for task, mine in by_task.items():
        of_examples = scale / max(examples[task]) if scale and task in examples else 0.0
        written = 10.0 ** -table_rows.decimals(mine)
        largest = max(abs(number(str(file), text(row, "score"))) for row in mine)
        steps[task] = max(of_examples, written if written >= FINEST * largest else 0.0)
    return steps
