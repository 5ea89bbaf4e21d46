"""Secondary endpoints of students: from the metrics of their runs, and in tables.

A table holds `endpoint_nll`, `endpoint_brier` and `endpoint_agreement` of each student, and
`margin_nll` and the like where the sweep file states a margin. The names are longer than those of
the endpoints so that other people's columns are not taken for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from raykd.analysis.scores.table.rows import Row, number, one_value, text
from raykd.errors import UserError
from raykd.tasks.endpoints import LARGER_IS_BETTER, PREFIX


def of_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the endpoints of a run, by name. Runs of raykd 0.1.0 have none."""
    values = {name: metrics.get(f"{PREFIX}{name}", math.nan) for name in LARGER_IS_BETTER}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def of_row(where: str, row: Row) -> dict[str, float]:
    """Return the endpoints in a row of a table. Raises UserError."""
    written = {name: text(row, f"endpoint_{name}") for name in LARGER_IS_BETTER}
    return {k: number(where, value, f"endpoint_{k}") for k, value in written.items() if value}


def margins(file: Path, rows: Sequence[Row]) -> dict[str, float]:
    """Return the margins of endpoints that a table states. Raises UserError."""
    stated = {}
    for name in LARGER_IS_BETTER:
        if written := one_value(file, rows, f"margin_{name}"):
            stated[name] = number(str(file), written, f"margin_{name}")
            if stated[name] <= 0:
                raise UserError(f"{file}: margin_{name}: {written}; write a number above 0")
    return stated


def columns(endpoints: Mapping[str, float], margins: Mapping[str, float]) -> dict[str, float]:
    """Return the columns of a student's row."""
    values = {f"endpoint_{name}": value for name, value in endpoints.items()}
    return values | {f"margin_{name}": value for name, value in margins.items() if endpoints}
