"""Scores from a table that a person has: raykd's own or one that was typed.

Every mistake is one line: what, where, what to write instead."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raykd.analysis.scores import (
    SMALLER_IS_BETTER,
    Explored,
    Score,
    Scores,
    refuse_one_strategy,
)
from raykd.analysis.weights import label, over_weights
from raykd.errors import UserError

NEEDED = ("task", "init", "shape", "strategy", "metric", "score")
COLUMNS = "task, init, shape, strategy, seed, metric, score"
FEW_DIGITS = 2  # scores typed with so few decimals move by steps of that size


def from_table(path: str | Path, smaller_is_better: bool = False) -> Scores:
    """A CSV or Parquet file with the columns task, init, shape, strategy, seed, metric, score; map,
    control (true or false), weight (of the hidden loss), select (its score), examples (that a
    score in percent is over) and phase (confirm, or explore for a map that a search tried) if you
    like, others are not read. Without a seed column one score stands for each arm. Raises
    UserError."""
    file = Path(path)
    rows = _rows(file)
    columns = list(rows[0])
    if missing := [c for c in NEEDED if c not in columns]:
        raise UserError(
            f"{file}: no column {', '.join(missing)}; a table of scores has {COLUMNS}, this one "
            f"has {', '.join(columns)}"
        )
    seeded = "seed" in columns
    phases = [_phase(file, i, row) for i, row in enumerate(rows, 1)]
    items = tuple(
        _score(file, i, row, seeded)
        for i, (row, phase) in enumerate(zip(rows, phases, strict=True), 1)
        if phase == "confirm"
    )
    _refuse_twice(file, items, seeded)
    tried = tuple(
        _explored(file, i, row)
        for i, (row, phase) in enumerate(zip(rows, phases, strict=True), 1)
        if phase == "explore"
    )
    metrics = tuple(dict.fromkeys(s.metric for s in items))
    small = {m for m in metrics if smaller_is_better or m.lower() in SMALLER_IS_BETTER}
    if 0 < len(small) < len(metrics):
        other = next(m for m in metrics if m not in small)
        raise UserError(
            f"{file}: of {sorted(small)[0]} less is better, of {other} more; put them in two tables"
        )
    refuse_one_strategy(str(file), items)
    items, problems = over_weights(items, (), not small)
    return Scores(
        items,
        metric=", ".join(metrics),
        larger_is_better=not small,
        seeded=seeded,
        resolution=_step(file, rows),
        explored=tried,
        problems=problems,
        source=str(file),
    )


def _rows(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        raise UserError(f"{file}: there is no such file; write the path of a CSV or Parquet table")
    try:
        if file.suffix.lower() == ".parquet":
            rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
        else:
            with file.open(newline="", encoding="utf-8-sig") as stream:
                rows = list(csv.DictReader(stream, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{file}: cannot be read as a CSV or Parquet table ({reason[:150]}); save it as one"
        ) from error
    if not rows:
        raise UserError(f"{file}: there are no rows; a table of scores has {COLUMNS}")
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values() and file.suffix.lower() != ".parquet":
            raise UserError(f"{file}: row {number}: {len(rows[0])} columns in the header, not here")
    return rows


def _score(file: Path, number: int, row: Mapping[str, Any], seeded: bool) -> Score:
    where = f"{file}: row {number}"
    text = {c: str(row[c] if row[c] is not None else "").strip() for c in NEEDED}
    if empty := [c for c in NEEDED if not text[c]]:
        raise UserError(f"{where}: {empty[0]} is empty; leave the row out, or fill it in")
    seed = str(row["seed"]).strip() if seeded else "0"
    control = str(row.get("control", "") or "").strip().lower()
    if control not in ("", "true", "false", "0", "1"):
        raise UserError(f"{where}: control: {control!r}; write true or false")
    select = str(row["select"] if row.get("select") is not None else "").strip()
    return Score(
        task=text["task"],
        init=text["init"],
        shape=text["shape"],
        strategy=text["strategy"].lower().replace("-", "_").replace(" ", "_"),
        seed=_seed(where, seed),
        metric=text["metric"],
        score=_number(where, text["score"]),
        map=str(row.get("map") or ""),
        control=control in ("true", "1"),
        select=_number(where, select, "select") if select else None,
        weight=_weight(where, str(row.get("weight") or "").strip()),
    )


def _explored(file: Path, number: int, row: Mapping[str, Any]) -> Explored:
    where = f"{file}: row {number}"
    text = {c: str(row.get(c) or "").strip() for c in ("task", "init", "shape", "map", "score")}
    if empty := [c for c, value in text.items() if not value]:
        raise UserError(f"{where}: {empty[0]} is empty; an explored map needs it")
    return Explored(
        task=text["task"],
        init=text["init"],
        shape=text["shape"],
        map=text["map"],
        score=_number(where, text["score"]),
        weight=_weight(where, str(row.get("weight") or "").strip()),
    )


def _phase(file: Path, number: int, row: Mapping[str, Any]) -> str:
    phase = str(row.get("phase") or "confirm").strip().lower()
    if phase not in ("confirm", "explore"):
        raise UserError(f"{file}: row {number}: phase: {phase!r}; write confirm or explore")
    return phase


def _seed(where: str, text: str) -> int:
    try:
        return int(text.removesuffix(".0"))  # a column with a gap is written as floats
    except ValueError:
        raise UserError(
            f"{where}: seed: {text!r} is not a whole number; number the runs, the same number for "
            "runs that share their data order, or leave the column out"
        ) from None


def _weight(where: str, text: str) -> str:
    return label(_number(where, text, "weight")) if text else ""


def _number(where: str, text: str, column: str = "score") -> float:
    try:
        score = float(text)
    except ValueError:
        raise UserError(f"{where}: {column}: {text!r} is not a number") from None
    if not math.isfinite(score):
        raise UserError(
            f"{where}: {column}: {text}; a run without a score is no row: leave it out, and it "
            "will be named as missing"
        )
    return score


def _refuse_twice(file: Path, items: Iterable[Score], seeded: bool) -> None:
    seen: dict[tuple[object, ...], tuple[int, str]] = {}
    for number, s in enumerate(items, 1):
        key = (*s.cell, s.strategy, s.seed)
        if key in seen:
            other, metric = seen[key]
            what = f"{s.task}, {s.init}, {s.shape}, {s.strategy}" + seeded * f", seed {s.seed}"
            what += f", weight {s.weight}" if s.weight else ""
            advice = "leave one out" if seeded else "add a seed column if these are several runs"
            if metric != s.metric:
                advice = f"name the tasks apart, such as {s.task} ({s.metric})"
            raise UserError(f"{file}: rows {other} and {number} are both {what}; {advice}")
        seen[key] = (number, s.metric)


def _step(file: Path, rows: Iterable[Mapping[str, Any]]) -> float:
    """The step of scores over so many examples, or that were typed with few decimals; else 0."""
    rows = list(rows)
    counts = [str(row.get("examples") or "").strip() for row in rows]
    if stated := [_number(str(file), c, "examples") for c in counts if c]:
        return 100 / max(stated)
    digits = max(len(str(row["score"]).strip().partition(".")[2]) for row in rows)
    return 10.0**-digits if digits <= FEW_DIGITS else 0.0
