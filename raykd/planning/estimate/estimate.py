"""What a plan will take before it is launched: time, hours of workers or GPUs, disk, traffic and
money by phase, each as a range, and what limits it.

The jobs that the sweep will hand out are laid end to end on the places they will have, with rates
that were measured (rates.py). Done three times: with the quickest, the mean and the slowest rates.
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
    """`hours` are those of GPUs held, or of workers where there are none; `disk` and `traffic`
    are bytes: what is left there or lies there for a while, and what is sent to and fro."""

    name: str
    seconds: Range
    hours: Range
    disk: Range
    traffic: Range
    money: Range | None


@dataclass(frozen=True)
class Estimate:
    unit: str
    """`GPU` or `worker`: what the hours are of."""
    device: str
    measured: bool
    phases: tuple[Phase, ...]
    total: Phase
    jobs: int
    at_once: int
    limits: tuple[str, ...]
    """What the time goes into, the most first, in words."""
    note: str
    """Why the figures are rough, where they are."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(
    made: Plan, around: Around, rates: Rates, teacher: TeacherRates | None, device: str,
    price: float | None, note: str = "",
) -> Estimate:  # fmt: skip
    """`teacher`: None where it is made already; `price`: of an hour of one GPU, or worker."""
    cases = [
        scenario(made, around, rates.slower(factor), teacher and teacher.slower(factor))
        for factor in (rates.low, 1.0, rates.high)
    ]
    likely = cases[1]
    measured = rates.measured and (teacher is None or teacher.measured)
    return Estimate(
        "GPU" if around.gpus else "worker", device, measured,
        tuple(_phase(name, [name], cases, price) for name in PHASES),
        _phase("in all", PHASES, cases, price),
        likely.jobs, made.power.at_once, _limits(likely, made.power.at_once),
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
