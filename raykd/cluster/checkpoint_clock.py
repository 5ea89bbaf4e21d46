"""When the workers of a cohort store a checkpoint.

Every worker has a clock, but the decision of the first worker is shared, and with it the step at
which all ask again. Between these steps the workers do not communicate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from raykd.planning.estimate.checkpoint_spacing import LEAST_SECONDS, Spacing

ASK_SECONDS = 15.0  # between two decisions: a notice comes two minutes before the end of a node
AGAIN_SECONDS = 30.0  # between two checkpoints of a node that is to be preempted


@dataclass(frozen=True)
class Decision:
    """`due`: whether to store a checkpoint. `stop`: whether the launch stops. `next_step`: at which
    to decide again, at the latest."""

    due: bool
    stop: bool
    next_step: int


class CheckpointClock:
    """Decides by `spacing` at any step, or, with `every`, at evaluations so many seconds apart."""

    def __init__(
        self,
        every: float | None,
        spacing: Spacing,
        nbytes: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`nbytes`: size of a checkpoint, estimated."""
        self._every, self._spacing, self._clock = every, spacing, clock
        self._due_at = clock() + (spacing.first(nbytes) if every is None else every)
        self._last_ask: tuple[float, int] | None = None
        self._next_step = 0
        self._noticed, self._notice_at = False, 0.0

    def asks_at(self, step: int) -> bool:
        """Return whether to decide after this step, which has no evaluation: the same on every
        worker, if all followed the same decisions."""
        if self._every is not None:
            return False
        if self._last_ask is None:  # how long a step takes is unknown
            self._last_ask, self._next_step = (self._clock(), step), step + 1
        return step >= self._next_step

    def decide(self, step: int, noticed: bool, stop: bool) -> Decision:
        """Return this worker's decision. `noticed`: whether a worker's node is to be preempted."""
        now, self._noticed = self._clock(), noticed
        due = now >= self._due_at or (noticed and now >= self._notice_at)
        ahead = 1
        if self._last_ask is not None and step > self._last_ask[1]:
            seconds_per_step = (now - self._last_ask[0]) / (step - self._last_ask[1])
            ahead = max(1, int(ASK_SECONDS / max(seconds_per_step, 1e-6)))
        self._last_ask = (now, step)
        return Decision(due, stop, step + ahead)

    def follow(self, decision: Decision) -> None:
        self._next_step = decision.next_step

    def stored(self, step: int, seconds: float, nbytes: float) -> None:
        """Note that a checkpoint was stored, for which the training waited `seconds`."""
        now = self._clock()
        wait = self._spacing.interval(seconds, nbytes) if self._every is None else self._every
        self._due_at, self._last_ask = now + wait, (now, step)
        if self._noticed and self._every is None:
            self._notice_at = now + AGAIN_SECONDS

    def failed(self, step: int) -> None:
        """Note that the storage did not take a checkpoint: it is tried again."""
        now = self._clock()
        self._last_ask = (now, step)
        if self._every is None:
            self._due_at = self._notice_at = now + LEAST_SECONDS
