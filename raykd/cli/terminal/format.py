"""Formats of durations, sizes and estimates for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raykd.planning.estimate.estimate import Range
from raykd.tracking.costs import ForecastOutcome


def memory(sizes: Mapping[str, int]) -> str:
    mib = {name: f"{size / 2**20:,.0f}" for name, size in sizes.items()}
    return (
        f"{mib['peak']} MiB a worker at its peak, of {mib['usable']}: teacher {mib['teacher']}, "
        f"each student {mib['student']}, a step {mib['step']}, an evaluation {mib['evaluation']}"
    )


def duration(value: float) -> str:
    """A time span in seconds as text, in seconds, minutes or hours."""
    if value < 90:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


def forecast_line(outcome: ForecastOutcome) -> str:
    """One line that compares a launch's estimate with its actual time, hours and money."""
    estimated = f"estimated {duration_range(_range(outcome.estimate['total']['seconds']))}"
    if outcome.actual is None:
        return f"{outcome.launch}: {estimated}; not ended in order, or running"
    total, actual = outcome.estimate["total"], outcome.actual
    deviation = actual["seconds"] / total["seconds"]["likely"] - 1
    parts = [f"{estimated}, took {duration(actual['seconds'])} ({deviation:+.0%})"]
    hours = f"{actual['hours']:.2g} {outcome.estimate['unit']}-hours"
    parts.append(f"{hours} (estimated {number_range(_range(total['hours']))})")
    if "money" in actual and total["money"]:
        money = number_range(_range(total["money"]))
        parts.append(f"{actual['money']:.2f} of money (estimated {money})")
    if actual["reason"]:
        parts.append(f"stopped at {actual['reason']}")
    return f"{outcome.launch}: " + "; ".join(parts)


def _range(values: Mapping[str, Any]) -> Range:
    return Range(**values)


def duration_range(bounds: Range) -> str:
    return f"{duration(bounds.likely)} ({duration(bounds.low)} to {duration(bounds.high)})"


def number_range(bounds: Range) -> str:
    return f"{bounds.likely:.2g} ({bounds.low:.2g} to {bounds.high:.2g})"


def disk_range(bounds: Range) -> str:
    upper = f" (at most {byte_size(bounds.high)})" if bounds.high > 1.01 * bounds.likely else ""
    return f"{byte_size(bounds.likely)}{upper}"


def byte_size(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e6:.0f} MB"
