"""What a sweep cost: trials, seconds, examples a second, and hours of a GPU where it had one."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from raykd.report.section import Table
from raykd.tracking.costs import Compared
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


def against(launches: Iterable[Compared]) -> tuple[Table, ...]:
    """What each launch was estimated to take, and what it took; no table where none was."""
    rows = tuple(_row(c) for c in launches)
    heads = ("launch", "minutes, estimated", "minutes", "hours held, estimated", "hours held",
             "money, estimated", "money")  # fmt: skip
    return (Table("What launches were to take, and took", heads, rows),) if rows else ()


def _row(found: Compared) -> tuple[str, ...]:
    told, took = found.estimate["total"], found.actual
    cells = [found.launch]
    for key, unit in (("seconds", 60), ("hours", 1), ("money", 1)):
        low, likely, high = (
            "" if told[key] is None else f"{told[key][name] / unit:.2g}"
            for name in ("low", "likely", "high")
        )
        cells.append(f"{likely} ({low} to {high})" if likely else "no price")
        cells.append("" if took is None or key not in took else f"{took[key] / unit:.2g}")
    return tuple(cells)
