"""The forecast cost of a launch, stored with its run at the start, and the actual cost, at its
end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from mlflow import MlflowClient

from raykd.tracking.bulk import pages
from raykd.tracking.launch import Launch, stored_json

T = TypeVar("T")
ESTIMATE, ACTUAL = "raykd.estimate", "raykd.actual"


@dataclass(frozen=True)
class Forecast:
    """The estimate of a launch.

    `estimate`: plain values, as shown to the user at the time `told`, in seconds since the epoch.
    `teacher_seconds`: time that making the teacher has taken since.
    """

    estimate: Mapping[str, Any]
    told: float
    teacher_seconds: float = 0.0

    def after(self, make: Callable[[], T]) -> tuple[T, Forecast]:
        """Return the result of `make`, and the forecast with the time that `make` took."""
        began = time.monotonic()
        return make(), replace(self, teacher_seconds=time.monotonic() - began)

    def start(self, launch: Launch) -> None:
        """Store the estimate as a tag of the launch."""
        shown = {"told": self.told, **self.estimate}
        launch.write(lambda: launch.client.set_tag(launch.run_id, ESTIMATE, json.dumps(shown)))

    def end(self, launch: Launch, held: float, price: float | None, reason: str | None) -> None:
        """Store the actual cost as a tag of the launch.

        `held`: hours of GPUs or workers that jobs held. `reason`: why the launch stopped early, if
        it did.
        """
        hours = held + self.teacher_seconds / 3600
        actual = {"seconds": time.time() - self.told, "hours": hours, "reason": reason}
        if price is not None:
            actual["money"] = price * hours
        launch.write(lambda: launch.client.set_tag(launch.run_id, ACTUAL, json.dumps(actual)))


@dataclass(frozen=True)
class ForecastOutcome:
    """The estimate of one launch, and its actual cost if it ended in order."""

    launch: str
    estimate: Mapping[str, Any]
    actual: Mapping[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        return {"launch": self.launch, "estimate": self.estimate, "actual": self.actual}


def read(client: MlflowClient, experiment: str) -> tuple[ForecastOutcome, ...]:
    """Return every launch that has an estimate, the oldest first."""
    query = "tags.`raykd.launch` = 'true'"
    runs = sorted(pages(client, [experiment], query), key=lambda r: r.info.start_time)
    return tuple(
        ForecastOutcome(str(run.info.run_name), estimate, stored_json(run.data.tags.get(ACTUAL)))
        for run in runs
        if (estimate := stored_json(run.data.tags.get(ESTIMATE))) is not None
    )
