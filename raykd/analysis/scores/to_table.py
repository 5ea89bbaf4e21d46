"""Write a sweep's scores as a table for `raykd verdict --from`. The table fits in a repository, and
suffices for verdict and report without training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from raykd.analysis.claims.stated import as_text
from raykd.analysis.scores.endpoints import columns
from raykd.analysis.scores.loss_weights import TUNED
from raykd.analysis.scores.scores import NONE, Scores
from raykd.errors import UserError
from raykd.runtime.scratch import whole_file


def save(scores: Scores, file: Path, margin: float) -> int:
    """Write a row for each confirmed student, each failed or unfinished one (without a score) and
    each explored map, and return the number of rows. Each row states the margin of the sweep and
    the perfect score, the claims, and its judgement if seeds were added after one or may be. Rows
    of students have their secondary endpoints, if they were measured.

    The derived tuned cell is left out, and an arm that matches nothing is written once, without a
    weight. Raises UserError.
    """
    confirmed = [
        {
            "task": s.task, "init": s.init, "shape": s.shape, "strategy": s.strategy,
            "seed": s.seed, "metric": s.metric, "score": s.score, "map": s.map,
            "control": s.control, "weight": s.weight if re.search(r"\d", s.map) else "",
            "schedule": s.schedule, "select": s.select,
            "examples": None if s.ids is None else len(s.ids), "steps": s.steps, "phase": "confirm",
            **columns(s.endpoints, scores.endpoint_margins),
        }
        for s in scores.items if s.weight != TUNED
    ]  # fmt: skip
    explored = [
        {
            "task": e.task, "init": e.init, "shape": e.shape, "strategy": "explored",
            "metric": scores.metric, "score": e.score, "map": e.map, "control": False,
            "weight": e.weight, "schedule": e.schedule, "steps": e.steps, "phase": "explore",
        }
        for e in scores.explored
    ]  # fmt: skip
    rows = [*confirmed, *explored, *_lost(scores)]
    frame = pd.DataFrame(rows).drop_duplicates(ignore_index=True)
    if not frame["schedule"].any():  # no factor
        del frame["schedule"]
    frame = frame.astype({"seed": "Int64", "examples": "Int64", "steps": "Int64"})
    frame = frame.assign(margin=margin, scale=scores.scale)
    if scores.claims:
        frame = frame.assign(claims=as_text(scores.claims))
    if scores.extend or len(scores.stages) > 1:
        numbers = {s: i for i, stage in enumerate(scores.stages, 1) for s in stage}
        frame = frame.assign(judgement=frame["seed"].map(numbers).astype("Int64"),
                             extend=scores.extend)  # fmt: skip
    write: dict[str, Any] = {".csv": frame.to_csv, ".parquet": frame.to_parquet}
    if file.suffix.lower() not in write:
        raise UserError(f"--save: {file}: write a name that ends in .csv or .parquet")
    try:
        with whole_file(file) as draft:
            write[file.suffix.lower()](draft, index=False)
    except OSError as error:
        raise UserError(f"--save: {file} cannot be written ({error.strerror})") from error
    return len(frame)


def _lost(scores: Scores) -> list[dict[str, Any]]:
    """Return the rows of failed or unfinished confirm trials. Otherwise an arm without a finished
    trial would be absent, and the table would be judged as if the arm had not been planned."""
    matched = {s.strategy for s in scores.items if re.search(r"\d", s.map)}
    unmatched = {s.strategy for s in scores.items} - matched | {NONE}
    return [
        {
            "task": p.task, "init": p.init, "shape": p.shape, "strategy": p.strategy, "seed": seed,
            "metric": scores.metric, "score": None, "control": p.control,
            "weight": "" if p.strategy in unmatched else p.weight, "schedule": p.schedule,
            "phase": "confirm",
            "status": "failed" if p.kind == "failed" else "running",
        }
        for p in scores.problems
        if p.kind in ("failed", "missing") and p.weight != TUNED
        for seed in p.seeds
    ]  # fmt: skip
