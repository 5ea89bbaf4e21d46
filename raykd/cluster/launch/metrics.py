"""What a job's workers tell Prometheus, by Ray's own endpoint on each node."""

from __future__ import annotations

import time

from ray.util.metrics import Counter, Gauge

from raykd.teachers.targets import Live
from raykd.training.hooks import Taught


class Metrics:
    """Of one cohort, told by its first worker at each tick. A worker's gauges go with it; a node's
    counters stay as long as the node."""

    def __init__(self, sweep: str) -> None:
        self._tags = {"sweep": sweep}
        self._rate = Gauge(
            "raykd_examples_per_second", "Student rows a second since the last tick.", ("sweep",)
        )
        self._share = Gauge(
            "raykd_teacher_share", "Of the time since the last tick, what targets took.", ("sweep",)
        )
        self._rows = Counter(
            "raykd_teacher_rows", "Rows by where their targets came from.", ("sweep", "source")
        )
        self._since = (time.monotonic(), Taught(None, 0.0, 0))

    def tick(self, examples: int, taught: Taught) -> None:
        """`examples`: student rows since the last tick."""
        (then, before), now = self._since, time.monotonic()
        self._since = (now, taught)
        self._rate.set(examples / (now - then), self._tags)
        self._share.set((taught.seconds - before.seconds) / (now - then), self._tags)
        if taught.source is not None:
            source = Live.name if taught.source == Live.name else "stored"
            self._rows.inc(taught.rows - before.rows, {**self._tags, "source": source})
