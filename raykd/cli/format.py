"""How the terminal writes durations, sizes and estimates beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raykd.planning.estimate.estimate import Range
from raykd.tracking.costs import ForecastOutcome


def memory(found: Mapping[str, int]) -> str:
    mib = {name: f"{size / 2**20:,.0f}" for name, size in found.items()}
    return (
        f"{mib['peak']} MiB a worker at its peak, of {mib['usable']}: teacher {mib['teacher']}, "
        f"each student {mib['student']}, a step {mib['step']}, an evaluation {mib['evaluation']}"
    )


def duration(value: float) -> str:
    """A span of time as a person says it."""
    if value < 90:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


def forecast_line(found: ForecastOutcome) -> str:
    """A launch's estimate beside what it took, in a line."""
    told = f"estimated {duration_range(_range(found.estimate['total']['seconds']))}"
    if found.actual is None:
        return f"{found.launch}: {told}; not ended in order, or running"
    total, actual = found.estimate["total"], found.actual
    off = actual["seconds"] / total["seconds"]["likely"] - 1
    parts = [f"{told}, took {duration(actual['seconds'])} ({off:+.0%})"]
    hours = f"{actual['hours']:.2g} {found.estimate['unit']}-hours"
    parts.append(f"{hours} (estimated {number_range(_range(total['hours']))})")
    if "money" in actual and total["money"]:
        money = number_range(_range(total["money"]))
        parts.append(f"{actual['money']:.2f} of money (estimated {money})")
    if actual["reason"]:
        parts.append(f"stopped at {actual['reason']}")
    return f"{found.launch}: " + "; ".join(parts)


def _range(values: Mapping[str, Any]) -> Range:
    return Range(**values)


def duration_range(found: Range) -> str:
    return f"{duration(found.likely)} ({duration(found.low)} to {duration(found.high)})"


def number_range(found: Range) -> str:
    return f"{found.likely:.2g} ({found.low:.2g} to {found.high:.2g})"


def disk_range(found: Range) -> str:
    most = f" (at most {byte_size(found.high)})" if found.high > 1.01 * found.likely else ""
    return f"{byte_size(found.likely)}{most}"


def byte_size(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e6:.0f} MB"
