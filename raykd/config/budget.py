"""Limits on the cost of a launch. The first limit that is reached ends the launch in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from raykd.config.yaml_file import Model
from raykd.errors import UserError

START_SECONDS = 15.0  # until the workers of a job train

Limit = Annotated[float, Field(gt=0)]


class AskAbove(Model):
    """Above any of these estimates a launch asks first, or needs --yes where nobody can answer."""

    hours: Limit | None = Field(None, examples=[2], description="of wall time")
    gpu_hours: Limit | None = Field(None)
    money: Limit | None = Field(None, description="needs `price`")


class Budget(Model):
    """Limits of one launch; running cohorts store a checkpoint, the rest is not begun."""

    trials: Annotated[int, Field(gt=0)] | None = Field(None, description="trials to begin")
    hours: Limit | None = Field(None, examples=[2.5], description="of wall time")
    gpu_hours: Limit | None = Field(None, description="of GPUs held by jobs, waiting included")
    money: Limit | None = Field(None, description="in any currency; needs `price`")
    price: Limit | None = Field(
        None, description="what an hour of one GPU costs, or of one worker where there are none"
    )

    ask_above: AskAbove | None = Field(None, description="ask before a launch of more than this")

    def hourly(self, gpus: float, workers: int) -> float:
        """Return the price of an hour of one job; 0 if the file has no price."""
        return (self.price or 0.0) * (gpus or workers)


@dataclass(frozen=True)
class Spent:
    """Seconds of a launch so far: wall time, and seconds of jobs times their GPUs or workers."""

    seconds: float
    gpu_seconds: float
    worker_seconds: float

    @property
    def hours(self) -> float:
        """Hours of GPUs, or of workers without GPUs."""
        return (self.gpu_seconds or self.worker_seconds) / 3600

    def money(self, budget: Budget) -> float:
        return (budget.price or 0.0) * self.hours


def reached(budget: Budget, spent: Spent) -> str | None:
    """Return the limit that is reached, in words; None if none is. The caller counts trials."""
    if budget.hours is not None and spent.seconds >= budget.hours * 3600:
        return f"budget.hours: {budget.hours:g} hours are over"
    if budget.gpu_hours is not None and spent.gpu_seconds >= budget.gpu_hours * 3600:
        return f"budget.gpu_hours: {budget.gpu_hours:g} GPU-hours are used"
    if budget.money is not None and spent.money(budget) >= budget.money:
        return f"budget.money: {budget.money:g} are spent, at {budget.price:g} an hour"
    return None


def above(budget: Budget, file: str, estimated: Mapping[str, float | None]) -> str | None:
    """Return the estimate that is above a limit of `ask_above`, in words; None if none is. Raises
    UserError if the limit is in money and the file has no price."""
    for key, limit in (budget.ask_above.model_dump() if budget.ask_above else {}).items():
        amount = estimated[key]
        if limit is not None and amount is None:
            raise UserError(
                f"{file}: budget.ask_above.money: {limit:g} needs a price; write budget.price, or "
                "--price: what an hour of one GPU costs (of one worker, without GPUs)"
            )
        if limit is not None and amount is not None and amount > limit:
            return f"{file}: budget.ask_above.{key}: {amount:.3g} are estimated, above {limit:g}"
    return None


def priced(budget: Budget, file: str, checkpoint_price: float) -> None:
    """Raise UserError if a limit in money, or a price of checkpoints, is stated without a price of
    machines."""
    if checkpoint_price and budget.price is None:
        raise UserError(
            f"{file}: cluster.checkpoint_price: {checkpoint_price:g} needs a price of machines; "
            "write budget.price, or --price: what an hour of one GPU costs (of one worker, without "
            "GPUs)"
        )
    if budget.money is not None and budget.price is None:
        raise UserError(
            f"{file}: budget.money: {budget.money:g} needs a price; write budget.price, or "
            "--price: what an hour of one GPU costs (of one worker, without GPUs)"
        )


def countable(budget: Budget, file: str, gpus: float) -> None:
    """Raise UserError if a limit cannot be counted for jobs with these GPUs."""
    if budget.gpu_hours is not None and not gpus:
        raise UserError(
            f"{file}: budget.gpu_hours: {budget.gpu_hours:g}: there is no GPU here; write "
            "budget.hours"
        )


def check(budget: Budget, file: str, gpus: float, workers: int, least: float) -> None:
    """Raise UserError if a limit is too low for a job with these resources to store anything.
    `least`: seconds until the first evaluation of a cohort."""
    hours = (START_SECONDS + least) / 3600
    needed = {
        "hours": hours,
        "gpu_hours": hours * gpus,
        "money": hours * budget.hourly(gpus, workers),
    }
    for name, amount in needed.items():
        limit = getattr(budget, name)
        if limit is not None and limit < amount:
            raise UserError(
                f"{file}: budget.{name}: {limit:g} is too little for one cohort to reach its first "
                f"evaluation; write at least {amount:.2g}"
            )
