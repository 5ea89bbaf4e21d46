"""A cohort of raykd's in process, timed: what the arms raykd_live and raykd_cached share."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.frame import WARM_STEPS, Clock, Outcome, Setting
from benchmarks.setting import prepare
from raykd.distill import Where
from raykd.materials import Materials, Sources
from raykd.recorder import Memory
from raykd.study import confirm_trials
from raykd.trial import Cohort, TrialSpec

Source = Literal["live", "cached"]

# What may be there before the clock starts. All else in RAYKD_HOME, a cache of the teacher's
# outputs above all, each run makes anew.
GIVEN = ("assets", "data", "encoded", "hashes", "teachers", "bf16.json")


@contextmanager
def fresh_home(setting: Setting) -> Iterator[Path]:
    """A RAYKD_HOME with the data and the teacher, and nothing else."""
    with tempfile.TemporaryDirectory(prefix="home-", dir=setting.folder) as folder:
        for name in GIVEN:
            given = Path(setting.home) / name
            if given.exists():
                (Path(folder) / name).symlink_to(given.resolve())
        yield Path(folder)


@dataclass
class Timed(Memory):
    """A recorder whose clock runs from the first student's building to the last step's losses,
    which come before the evaluation that follows them."""

    clock: Clock | None = None
    steps: int = 0

    def open(self, trial: TrialSpec, facts: Mapping[str, str]) -> bool:
        if self.clock is not None and not self.opened:
            self.clock.start()
        return super().open(trial, facts)

    def log(self, trial: TrialSpec, step: int, metrics: Mapping[str, float]) -> None:
        super().log(trial, step, metrics)
        if self.clock is not None and step == self.steps and "loss" in metrics:
            if trial.id == list(self.opened)[-1]:
                self.clock.stop()


def build_cache(
    materials: Materials, cohort: Cohort, source: Source
) -> tuple[dict[str, Any], float]:
    """What `Materials.run` is told so that the cohort reads its teacher from `source`, and the
    seconds that it took to have the cache ready."""
    if source == "cached":
        raise NotImplementedError("the cached teacher source")
    return {}, 0.0


def train(setting: Setting, clock: Clock, source: Source) -> Outcome:
    with fresh_home(setting) as home:
        study, teacher = prepare(setting.sweep, home)
        materials = Materials.load(Sources.of(study, teacher), Where())
        trials = [t for t in confirm_trials(study) if t.seed == setting.seed][: setting.students]
        clock.loaded()

        warming = _for_steps(trials, WARM_STEPS)
        materials.run(warming, Memory(), **build_cache(materials, warming, "live")[0])
        cohort = _for_steps(trials, setting.steps)
        options, cache_seconds = build_cache(materials, cohort, source)
        recorder = Timed(clock=clock, steps=setting.steps)
        began = time.perf_counter()
        materials.run(cohort, recorder, **options)
        whole = time.perf_counter() - began
    scores = [recorder.results[t.id].metrics["test_accuracy"] for t in cohort.trials]
    return Outcome(
        setting.students, clock.seconds, scores[0], cache_seconds, setting.students,
        # With evaluations and test, as a sweep does it.
        {"whole_seconds": whole, "scores": scores},
    )  # fmt: skip


def _for_steps(trials: list[TrialSpec], steps: int) -> Cohort:
    return Cohort(tuple(replace(t, training=replace(t.training, steps=steps)) for t in trials))
