"""The strategy table: scores of a sweep's confirm trials, by init and strategy."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from raykd.analysis.as_json import plain
from raykd.analysis.scores.from_runs import SchedulesOf, one_schedule, weight
from raykd.losses.hidden.schedule import CONSTANT
from raykd.tracking.ledger import Record

Arm = tuple[str, str, str, str]
"""(init, schedule, strategy, hidden weight)"""


@dataclass(frozen=True)
class Row:
    """One arm. Scores are test scores in the metric's units (percent for accuracy)."""

    init: str
    strategy: str
    map: str
    mean: float
    seeds: int
    low: float
    high: float
    against_forward: float | None
    """Mean difference to forward over the seeds of both; None for forward or without any."""
    control: bool = False
    weight: str = ""
    """Weight of the hidden loss; empty where nothing is matched."""
    schedule: str = ""
    """Name of the schedule, if it is a factor."""

    maps: tuple[str, ...] = ()
    """The maps of its trials; `map` is the one, or their number."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values: maps as lists, and None where there is no weight."""
        values = plain(self)
        del values["map"]
        return dict(values)


def rows(
    records: Iterable[Record], metric: str, schedules_of: SchedulesOf = one_schedule
) -> tuple[Row, ...]:
    """Return a row for each init x schedule x strategy x hidden weight with finished confirm
    trials.

    A seeded strategy has one map per seed; its row shows the number of maps.
    """
    arms: dict[Arm, list[Record]] = {}
    for record in sorted(records, key=lambda r: r.start):
        if record.status == "finished" and record.phase == "confirm":
            for schedule in schedules_of(record):
                key = (record.init, schedule, record.strategy, weight(record))
                arms.setdefault(key, []).append(record)
    return tuple(_row(key, arm, arms, metric) for key, arm in sorted(arms.items(), key=_order))


def _order(item: tuple[Arm, list[Record]]) -> tuple[object, ...]:
    """Sort by init and schedule, constant weights first; within them strategy none, forward, the
    others by name, controls last."""
    (init, schedule, strategy, hidden_weight), arm = item
    place = (init, schedule != CONSTANT, schedule, arm[0].control)
    name = (strategy != "none", strategy != "forward", strategy)
    return (*place, *name, float(hidden_weight or 0))


def _row(
    key: Arm,
    arm: list[Record],
    arms: Mapping[Arm, list[Record]],
    metric: str,
) -> Row:
    init, schedule, strategy, hidden_weight = key
    metric_name = f"test_{metric}"
    scores = {r.seed: r.metrics[metric_name] for r in arm}
    forward = (init, schedule, "forward")
    weights = [other[3] for other in arms if other[:3] == forward]
    # An arm without matching is compared with forward if forward has one weight only.
    if not hidden_weight and len(weights) == 1:
        (hidden_weight,) = weights
    reference = {r.seed: r.metrics[metric_name] for r in arms.get((*forward, hidden_weight), [])}
    paired = [scores[s] - reference[s] for s in scores if s in reference]
    maps = tuple(sorted({r.map for r in arm}))
    return Row(
        init=init,
        strategy=strategy,
        map=maps[0] if len(maps) == 1 else f"{len(maps)} maps",
        maps=maps,
        mean=statistics.fmean(scores.values()),
        seeds=len(scores),
        low=min(scores.values()),
        high=max(scores.values()),
        against_forward=(statistics.fmean(paired) if paired and strategy != "forward" else None),
        control=arm[0].control,
        weight=key[3],
        schedule=schedule,
    )
