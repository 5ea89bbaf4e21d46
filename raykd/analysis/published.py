"""The published scores that a sweep file names, to stand beside its own."""

from __future__ import annotations

from pathlib import Path

from raykd.analysis.scores import Score
from raykd.analysis.typed import from_table
from raykd.config import SweepConfig
from raykd.errors import UserError


def scores(config: SweepConfig, file: str) -> tuple[Score, ...]:
    """Those of the task that `published` names; none where the file has no such key. `file` is the
    sweep file's path. Raises UserError."""
    named = config.published
    if named is None:
        return ()
    table = Path(file).parent / named.table
    if not table.is_file():
        raise UserError(
            f"{file}: published.table: {named.table}: there is no file {table}; write a path "
            "relative to the sweep file"
        )
    found = from_table(table).items
    chosen = tuple(s for s in found if s.task == named.task)
    if not chosen:
        tasks = ", ".join(dict.fromkeys(s.task for s in found))
        raise UserError(
            f"{file}: published.task: {named.table} has no task {named.task!r}; it has {tasks}"
        )
    return chosen
