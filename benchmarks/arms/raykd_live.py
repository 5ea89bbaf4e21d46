"""raykd in process: a cohort of `students`, one teacher pass a batch for all of them."""

from __future__ import annotations

from benchmarks import cohort, frame
from benchmarks.frame import Clock, Outcome, Setting


def train(setting: Setting, clock: Clock) -> Outcome:
    return cohort.train(setting, clock, "live")


if __name__ == "__main__":
    frame.main(train)
