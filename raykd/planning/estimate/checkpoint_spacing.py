"""How far apart the checkpoints of a cohort are: by what one costs and how often machines are lost.

A loss costs half an interval of work on average. A checkpoint costs the time that the training
waits for it, and what the storage charges. The sum is smallest at Daly's interval (J. T. Daly 2006,
A higher order estimate of the optimum checkpoint interval for restart dumps, Future Generation
Computer Systems 22). Money counts as the seconds of the job that it would pay for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from raykd.config.budget import Budget
from raykd.config.cluster import Cluster

GB, HOUR = 10**9, 3600.0
LEAST_SECONDS = 60.0  # between two checkpoints, however little one costs
MOST_SHARE = 0.1  # of a training's cost that its checkpoints may be, if losses are rarer than that
WRITE_SPEED = 1e9  # bytes per second, assumed until one was written: the first one comes early


def optimal_interval(cost: float, between_losses: float) -> float:
    """Return the seconds of work between two checkpoints that cost `cost` seconds each, where a
    loss is expected every `between_losses` seconds: equation 37 of Daly (2006)."""
    if math.isinf(between_losses) or cost >= 2 * between_losses:
        return between_losses
    ratio = cost / (2 * between_losses)
    first_order = math.sqrt(2 * cost * between_losses)
    return first_order * (1 + math.sqrt(ratio) / 3 + ratio / 9) - cost


@dataclass(frozen=True)
class Spacing:
    """`losses_per_second` of a job, of any of its machines. `seconds_per_gb`: seconds of the job
    that cost as much as the storage charges for a GB written."""

    losses_per_second: float
    seconds_per_gb: float = 0.0

    @classmethod
    def of(cls, cluster: Cluster, budget: Budget, gpus: float) -> Spacing:
        """Return that of a sweep file, for jobs with `gpus` per worker. Without a price of the
        machines, the storage's price does not count."""
        hourly = budget.hourly(gpus * cluster.workers, cluster.workers)
        price = cluster.checkpoint_price / hourly * HOUR if hourly else 0.0
        return cls(cluster.preemption_rate * cluster.workers / HOUR, price)

    def cost(self, seconds: float, nbytes: float) -> float:
        """Return what a checkpoint costs, in seconds of the job: it waits `seconds`."""
        return seconds + nbytes / GB * self.seconds_per_gb

    def first(self, nbytes: float) -> float:
        """Return the seconds until the first checkpoint, of which only the size is known."""
        return self.interval(nbytes / WRITE_SPEED, nbytes)

    def interval(self, seconds: float, nbytes: float) -> float:
        """Return the seconds between two checkpoints that take `seconds` each. Infinite where no
        machine is lost."""
        cost = self.cost(seconds, nbytes)
        mean = 1 / self.losses_per_second if self.losses_per_second else math.inf
        affordable = min(cost / MOST_SHARE, mean)
        return max(LEAST_SECONDS, affordable, optimal_interval(cost, mean))
