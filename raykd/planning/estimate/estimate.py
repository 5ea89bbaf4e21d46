"""Estimates the cost of a plan before its launch: time, hours of workers or GPUs, disk, traffic and
money by phase, each as a range, and what limits it.

The launch is simulated (simulate.py) at measured rates (rates.py), three times: with the fastest,
the mean and the slowest rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from raykd.planning.estimate.rates import Rates, TeacherRates
from raykd.planning.estimate.simulate import PHASES, Around, Scenario, scenario
from raykd.planning.plan import Plan


@dataclass(frozen=True)
class Range:
    low: float
    likely: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Range:
        return cls(min(values), values[1], max(values))


@dataclass(frozen=True)
class Phase:
    """Cost of a phase. `hours`: held hours of GPUs, or of workers without GPUs. `disk`: bytes that
    are left on disk, or lie there for a while. `traffic`: bytes sent to and from storage."""

    name: str
    seconds: Range
    hours: Range
    disk: Range
    traffic: Range
    money: Range | None


@dataclass(frozen=True)
class Estimate:
    unit: str
    """Unit of the hours: `GPU` or `worker`."""
    device: str
    measured: bool
    phases: tuple[Phase, ...]
    total: Phase
    jobs: int
    at_once: int
    limits: tuple[str, ...]
    """The largest shares of the time, largest first, in words."""
    note: str
    """Why the figures are rough, if they are."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(
    plan: Plan, around: Around, rates: Rates, teacher: TeacherRates | None, device: str,
    price: float | None, note: str = "",
) -> Estimate:  # fmt: skip
    """Return the estimate. `teacher`: None if the teacher exists already. `price`: of one hour of a
    GPU or worker."""
    cases = [
        scenario(plan, around, rates.slower(factor), teacher and teacher.slower(factor))
        for factor in (rates.low, 1.0, rates.high)
    ]
    likely = cases[1]
    measured = rates.measured and (teacher is None or teacher.measured)
    return Estimate(
        "GPU" if around.gpus else "worker", device, measured,
        tuple(_phase(name, [name], cases, price) for name in PHASES),
        _phase("in all", PHASES, cases, price),
        likely.jobs, plan.power.at_once, _limits(likely, plan.power.at_once),
        note,
    )  # fmt: skip


def _phase(
    name: str, parts: Sequence[str], cases: Sequence[Scenario], price: float | None
) -> Phase:
    def amounts(key: str) -> list[float]:
        return [sum(getattr(case.phases[part], key) for part in parts) for case in cases]

    hours = [held / 3600 for held in amounts("held")]
    kept, passing = amounts("kept")[1], amounts("passing")[1]
    return Phase(
        name, Range.of(amounts("seconds")), Range.of(hours), Range(kept, kept, kept + passing),
        Range.of(amounts("traffic")),
        None if price is None else Range.of([price * h for h in hours]),
    )  # fmt: skip


def _limits(likely: Scenario, at_once: int) -> tuple[str, ...]:
    whole = sum(likely.spent.values())
    parts = [
        f"{what}, {100 * spent / whole:.0f} %"
        for what, spent in sorted(likely.spent.items(), key=lambda part: -part[1])[:3]
        if spent > 0.05 * whole
    ]
    if 0 < likely.jobs < at_once:
        parts.append(f"room for {at_once} jobs at once, and only {likely.jobs} to run")
    return tuple(parts)
