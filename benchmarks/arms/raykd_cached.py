"""raykd in process: a cohort of `students`, the teacher read from a cache that this run made."""

from __future__ import annotations

from benchmarks import cohort, frame
from benchmarks.frame import Clock, Outcome, Setting


def train(setting: Setting, clock: Clock) -> Outcome:
    return cohort.train(setting, clock, "cached")


if __name__ == "__main__":
    frame.main(train)
