"""Scores of trained students from a caller's own table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from raykd.analysis.scores.from_table import from_rows, from_table
from raykd.analysis.scores.scores import Scores
from raykd.analysis.scores.table import rows as table_rows
from raykd.analysis.scores.table_options import TableOptions

RECORDS = Path("scores")  # names records in errors


def read_scores(
    source: str | Path | Iterable[Mapping[str, Any]],
    smaller_is_better: bool = False,
    baseline: str | None = None,
) -> Scores:
    """The scores of a CSV or Parquet file, or of dicts, one for each trained student.

    Columns: task, init, shape, strategy, seed, metric, score; docs/verdict.md has the optional
    ones. The rows of a pandas DataFrame are `frame.to_dict("records")`. Scores stay in their
    units. `smaller_is_better` is for metrics whose name does not say it. `baseline` is the strategy
    that others are compared with, where it is not called `forward`.

    Raises UserError with one line that names the row and the column.
    """
    options = TableOptions(smaller_is_better, baseline)
    if isinstance(source, str | Path):
        return from_table(source, options)
    return from_rows(RECORDS, table_rows.of_records(RECORDS, source), options)
