"""Rows of a table whose run has no score: it failed, diverged or is not finished.

They are kept as missing runs. Otherwise an arm without a finished run would not appear at all, and
claims about every strategy would silently exclude it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from raykd.analysis.scores.scores import Problem, ProblemKind, Score
from raykd.analysis.scores.table.rows import Row, number, text
from raykd.errors import UserError

NO_SCORE = frozenset(
    {"", "nan", "na", "n/a", "null", "none", "inf", "+inf", "-inf", "infinity", "-infinity"}
)
# Status names of MLflow, Weights & Biases, Optuna, Ray Tune and Slurm, in lower case.
DONE = frozenset({"", "finished", "complete", "completed", "done", "success", "succeeded", "ok",
                  "terminated"})  # fmt: skip
OPEN = frozenset({"running", "pending", "queued", "scheduled", "waiting", "paused", "preempted"})
FAILED = frozenset({"failed", "fail", "failure", "error", "errored", "crashed", "crash", "killed",
                    "diverged", "nan", "oom", "timeout", "cancelled", "canceled", "pruned",
                    "stopped", "missing"})  # fmt: skip
COLUMNS = ("status", "state")
Arm = tuple[str, str, str, str, str, bool, ProblemKind, str]
"""(task, init, shape, strategy, weight, control, kind, schedule)"""


def kind(file: Path, count: int, row: Row) -> ProblemKind | None:
    """Return `failed` or `missing` if the run of a row has no valid score, else None. Raises
    UserError."""
    status = _status(file, count, row)
    if status in OPEN:
        return "missing"
    if status in FAILED or text(row, "score").lower().replace("\u2212", "-") in NO_SCORE:
        return "failed"
    return None


def _status(file: Path, count: int, row: Row) -> str:
    for column in COLUMNS:
        status = text(row, column).lower()
        if status in DONE:
            continue
        if status not in OPEN | FAILED:
            raise UserError(
                f"{file}: row {count}: {column}: {status!r}; write finished, failed or running, or "
                "give the column another name"
            )
        return status
    return ""


def reported(file: Path, count: int, row: Row) -> float | None:
    """Return the score that the row of a lost run has, if any. It is no result, but may be the
    worst score seen."""
    if text(row, "score").lower().replace("\u2212", "-") in NO_SCORE:
        return None
    return number(f"{file}: row {count}", text(row, "score"))


def without_scores(rows: Sequence[Row], lost: Collection[int]) -> list[dict[str, Any]]:
    """Return all rows, those of lost runs without their scores, which must not affect the inference
    of units and decimals."""
    return [
        {**row, "score": None, "select": None} if count in lost else {**row}
        for count, row in enumerate(rows, 1)
    ]


def problems(
    lost: Sequence[tuple[ProblemKind, Score]], items: Sequence[Score]
) -> tuple[Problem, ...]:
    """Return the lost runs by arm, without those that have a score in another row, as after a
    retry."""
    scored = {(s.cell, s.strategy, s.seed) for s in items}
    arms: dict[Arm, list[int]] = {}
    for status, s in lost:
        if (s.cell, s.strategy, s.seed) not in scored:
            place = (s.task, s.init, s.shape, s.strategy, s.weight)
            key = (*place, s.control, status, s.schedule)
            arms.setdefault(key, []).append(s.seed)
    return tuple(
        Problem(status, _says(strategy, status, sorted({*seeds})), task, init, shape, strategy,
                control, weight, tuple(sorted({*seeds})), schedule)
        for (task, init, shape, strategy, weight, control, status, schedule), seeds in arms.items()
    )  # fmt: skip


def _says(strategy: str, status: ProblemKind, seeds: Sequence[int]) -> str:
    listed = ", ".join(map(str, seeds))
    if status == "missing":
        return f"{strategy} is not finished under seeds {listed}"
    return f"{strategy} has no score under seeds {listed}: failed, or without a number"
