"""The status of a sweep, from the trials that its file asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from raykd.analysis.verdict.context import TeacherScore
from raykd.planning.schedules import names
from raykd.sweep import strategy_table
from raykd.sweep.state import SweepState
from raykd.sweep.teacher import teacher_score
from raykd.tracking import store
from raykd.tracking.costs import ForecastOutcome
from raykd.tracking.ledger import Record

APART = ("rows", "failures", "costs", "teacher")


@dataclass(frozen=True)
class Status:
    """Status of a sweep: counts of trials, failures with their reasons, the strategy table."""

    sweep: str
    metric: str
    finished: int
    running: int
    failed: int
    missing: int
    pruned: int
    saved: float
    """Share of explore's steps that pruning saved, 0 to 1."""
    outdated: int
    failures: tuple[tuple[str, str], ...]
    rows: tuple[strategy_table.Row, ...]
    tracking_uri: str
    stopped: str | None = None
    """A sentence: which look ended confirm, and why."""
    costs: tuple[ForecastOutcome, ...] = ()
    """Forecast and actual cost of each launch."""
    teacher: TeacherScore | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            **{k: v for k, v in vars(self).items() if k not in APART},
            "failures": [{"trial": t, "error": e} for t, e in self.failures],
            "teacher": None if self.teacher is None else asdict(self.teacher),
            "strategies": [r.to_json() for r in self.rows],
            "costs": [c.to_json() for c in self.costs],
        }


def status(state: SweepState) -> Status:
    """Return counts of trials, failures, the strategy table, costs and the teacher's score."""
    config, current = state.study.config, state.current
    counts = Counter(r.status for r in current)
    # A launch that was killed leaves open runs, which the next one ends.
    running = counts["running"] if counts["running"] and state.ledger.is_running() else 0
    return Status(
        sweep=config.name,
        metric=config.task.metric,
        finished=counts["finished"],
        running=running,
        failed=counts["failed"],
        missing=state.missing,
        pruned=counts["pruned"],
        saved=_saved(current),
        outdated=len(state.records) - len(current),
        failures=tuple((r.trial, r.error or "") for r in current if r.status == "failed"),
        rows=strategy_table.rows(current, config.task.metric, names(state.study).of_record),
        tracking_uri=store.safe(state.ledger.uri),
        stopped=state.stopped,
        costs=state.ledger.forecasts(),
        teacher=teacher_score(state.study, state.ledger.client),
    )


def _saved(records: Sequence[Record]) -> float:
    explored = [r for r in records if r.phase == "explore" and r.status in ("finished", "pruned")]
    whole = sum(int(r.params["steps"]) for r in explored)
    left = sum(
        int(r.params["steps"]) - r.metrics["pruned_step"] for r in explored if r.status == "pruned"
    )
    return left / whole if whole else 0.0
