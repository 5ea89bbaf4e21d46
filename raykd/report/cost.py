"""What a sweep cost: trials, seconds, examples a second, and hours of a GPU where it had one."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from raykd.tracking.ledger import Record


@dataclass(frozen=True)
class Cost:
    """Finished trials of one phase on one kind of device.

    `seconds` is a student's own training, evaluation and share of the teacher's pass, on average;
    `hours` is their sum over the trials, and over the workers that each one had.
    """

    phase: str
    device: str
    trials: int
    seconds: float
    examples_per_second: float
    hours: float


def costs(records: Iterable[Record], workers: int) -> tuple[Cost, ...]:
    """By phase and device. `workers`: data-parallel workers of a trial."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.status == "finished":
            device = (record.device or "unknown").partition(":")[0]
            groups.setdefault((record.phase, device), []).append(record)
    return tuple(_cost(*key, found, workers) for key, found in sorted(groups.items()))


def _cost(phase: str, device: str, records: list[Record], workers: int) -> Cost:
    seconds = [r.metrics["seconds"] + r.metrics["teacher_seconds"] for r in records]
    speeds = [r.metrics["examples_per_second"] for r in records]
    return Cost(
        phase=phase,
        device=device,
        trials=len(records),
        seconds=statistics.fmean(seconds),
        examples_per_second=statistics.fmean(speeds),
        hours=workers * sum(seconds) / 3600,
    )
