"""A sweep's scores as the table that `raykd verdict --from` reads: small enough for a repository,
and enough to judge and draw without training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from raykd.analysis.scores.loss_weights import TUNED
from raykd.analysis.scores.scores import NONE, Scores
from raykd.errors import UserError


def save(scores: Scores, file: Path, margin: float) -> int:
    """Write a row for each confirmed student, each that failed or is not finished (without a score)
    and each explored map; how many there are. Each states the margin of the sweep and what a
    perfect score is.

    What is derived (the cell in which each strategy has its best weight) is left out, and an arm
    that matches nothing stands once, without a weight. Raises UserError.
    """
    confirmed = [
        {
            "task": s.task, "init": s.init, "shape": s.shape, "strategy": s.strategy,
            "seed": s.seed, "metric": s.metric, "score": s.score, "map": s.map,
            "control": s.control, "weight": s.weight if re.search(r"\d", s.map) else "",
            "select": s.select, "examples": None if s.ids is None else len(s.ids),
            "phase": "confirm",
        }
        for s in scores.items if s.weight != TUNED
    ]  # fmt: skip
    explored = [
        {
            "task": e.task, "init": e.init, "shape": e.shape, "strategy": "explored",
            "metric": scores.metric, "score": e.score, "map": e.map, "control": False,
            "weight": e.weight, "phase": "explore",
        }
        for e in scores.explored
    ]  # fmt: skip
    rows = [*confirmed, *explored, *_lost(scores)]
    frame = pd.DataFrame(rows).drop_duplicates(ignore_index=True)
    frame = frame.astype({"seed": "Int64", "examples": "Int64"})
    frame = frame.assign(margin=margin, scale=scores.scale)
    write: dict[str, Any] = {".csv": frame.to_csv, ".parquet": frame.to_parquet}
    if file.suffix.lower() not in write:
        raise UserError(f"--save: {file}: write a name that ends in .csv or .parquet")
    try:
        write[file.suffix.lower()](file, index=False)
    except OSError as error:
        raise UserError(f"--save: {file} cannot be written ({error.strerror})") from error
    return len(frame)


def _lost(scores: Scores) -> list[dict[str, Any]]:
    """Rows of confirm trials that failed or are not finished. Without them an arm of which none is
    finished would be in no row, and the table would be judged as if nobody had asked for it."""
    matched = {s.strategy for s in scores.items if re.search(r"\d", s.map)}
    apart = {s.strategy for s in scores.items} - matched | {NONE}
    return [
        {
            "task": p.task, "init": p.init, "shape": p.shape, "strategy": p.strategy, "seed": seed,
            "metric": scores.metric, "score": None, "control": p.control,
            "weight": "" if p.strategy in apart else p.weight, "phase": "confirm",
            "status": "failed" if p.kind == "failed" else "running",
        }
        for p in scores.problems
        if p.kind in ("failed", "missing") and p.weight != TUNED
        for seed in p.seeds
    ]  # fmt: skip
