"""Compare the scores of a sweep with published scores, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from raykd.analysis.scores.from_table import from_table
from raykd.analysis.scores.scores import Score
from raykd.analysis.scores.units import FRACTION
from raykd.analysis.verdict.context import PublishedComparison
from raykd.config.sweep import SweepConfig
from raykd.errors import UserError
from raykd.losses.hidden.schedule import CONSTANT

if TYPE_CHECKING:
    from raykd.analysis.verdict.verdict import Cell


def compare_published(
    cells: Sequence[Cell], published: Sequence[Score]
) -> tuple[PublishedComparison, ...]:
    """Compare every arm for which `published` has a score with the same kind of init (copied or
    random, whichever blocks are copied), shape, strategy and schedule. The caller chooses the
    published task, which the result names."""
    compared = []
    for cell in cells:
        kind = cell.init.split()[0]
        for arm in cell.arms:
            scores = [
                s for s in published
                if (s.init, s.shape, s.strategy) == (kind, cell.shape, arm.strategy)
                and (s.schedule or CONSTANT) == (cell.schedule or CONSTANT)
            ]  # fmt: skip
            if not scores:
                continue
            score, low, high = fmean(s.score for s in scores), min(arm.scores), max(arm.scores)
            compared.append(
                PublishedComparison(
                    scores[0].task, cell.init, cell.shape, arm.strategy, scores[0].metric,
                    score, arm.mean, low, high, len(arm.scores), arm.mean - score,
                    low <= score <= high if len(arm.scores) > 1 else None,
                )
            )  # fmt: skip
    return tuple(compared)


def published_scores(config: SweepConfig, file: str) -> tuple[Score, ...]:
    """Return the published scores of the task named under `published` in the sweep file, or nothing
    without that key. `file`: path of the sweep file. Raises UserError."""
    reference = config.published
    if reference is None:
        return ()
    table = Path(file).parent / reference.table
    if not table.is_file():
        raise UserError(
            f"{file}: published.table: {reference.table}: there is no file {table}; write a path "
            "relative to the sweep file"
        )
    scores = from_table(table)
    if scores.scale == FRACTION:
        raise UserError(
            f"{file}: published.table: {reference.table}: its scores lie within 0 to 1, those of a "
            "sweep are in percent; write them in percent"
        )
    rows = scores.items
    chosen = tuple(s for s in rows if s.task == reference.task)
    if not chosen:
        tasks = ", ".join(dict.fromkeys(s.task for s in rows))
        raise UserError(
            f"{file}: published.task: {reference.table} has no task {reference.task!r}; it has "
            f"{tasks}"
        )
    return chosen
