"""Tables of the report whose numbers come from MLflow."""

from __future__ import annotations

import pytest

from raykd.report.tables import launch_tables
from raykd.tracking.costs import ForecastOutcome


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(63_000.0, "1,000"), (5_640.0, "94"), (600.0, "10"), (571.0, "9.5"), (6.0, "0.1")],
)
def test_minutes_of_a_launch_are_written_without_exponents(seconds: float, shown: str) -> None:
    total = {
        "seconds": {"low": seconds, "likely": seconds, "high": seconds},
        "hours": {"low": 0.5, "likely": 1.0, "high": 2.0},
        "money": None,
    }
    outcome = ForecastOutcome("launch 1", {"total": total}, {"seconds": seconds, "hours": 12.4})
    (table,) = launch_tables([outcome])
    assert table.rows == (
        ("launch 1", f"{shown} ({shown} to {shown})", shown, "1 (0.5 to 2)", "12", "no price", ""),
    )
