"""A timed cohort of raykd in this process, shared by the arms raykd_live and raykd_cached."""

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
from raykd.config.cohort import Cohort
from raykd.config.trial import TrialSpec
from raykd.planning import teacher_source
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

Source = Literal["live", "cached"]

# Folders that may exist before the clock starts. Each run makes everything else in RAYKD_HOME
# again, in particular a cache of the teacher's outputs.
GIVEN = ("assets", "data", "encoded", "hashes", "kept", "speeds", "teachers")


@contextmanager
def fresh_home(setting: Setting) -> Iterator[Path]:
    """A RAYKD_HOME with the data and the teacher, and nothing else."""
    with tempfile.TemporaryDirectory(prefix="home-", dir=setting.folder) as folder:
        for name in GIVEN:
            entry = Path(setting.home) / name
            if entry.exists():
                (Path(folder) / name).symlink_to(entry.resolve())
        yield Path(folder)


@dataclass
class Timed(Memory):
    """A recorder whose clock runs from the first student's building to the last step's losses,
    which come before the evaluation that follows them."""

    clock: Clock | None = None
    steps: int = 0
    waited: float = 0.0
    """Seconds until the first student was built: making the cache, where there is one."""

    def __post_init__(self) -> None:
        self._began = time.perf_counter()

    def open(self, trial: TrialSpec, facts: Mapping[str, str]) -> bool:
        if self.clock is not None and not self.opened:
            self.waited = time.perf_counter() - self._began
            self.clock.start()
        return super().open(trial, facts)

    def log(self, trial: TrialSpec, step: int, metrics: Mapping[str, float]) -> None:
        super().log(trial, step, metrics)
        last = step == self.steps and trial.id == list(self.opened)[-1]
        if self.clock is not None and last and "loss" in metrics:
            self.clock.stop()


def with_source(content: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """A sweep file's content that says where students get the teacher's outputs."""
    return {**content, "states": {"source": source}}


def load(study: Study, teacher: Path, trials: list[TrialSpec]) -> CohortTrainer:
    """Load what a sweep's worker loads; of a cache, only the states that the trials' maps name."""
    states = sorted({t for trial in trials for _, t in trial.layer_map.pairs()})
    speeds = teacher_source.speeds(study, parameters=1, gpu=False)
    choice = teacher_source.choose(study, tuple(states), len(trials), speeds, None)
    return CohortTrainer.load(training_inputs(study, teacher, choice), Execution())


def train(setting: Setting, clock: Clock, source: Source) -> Outcome:
    with fresh_home(setting) as home:
        study, teacher = prepare(with_source(setting.sweep, source), home)
        trials = [t for t in confirm_trials(study) if t.seed == setting.seed][: setting.students]
        trainer = load(study, teacher, trials)
        clock.loaded()

        # The warm-up makes no cache: that is part of what is measured.
        warming = replace(trainer, sources=replace(trainer.sources, source="live"))
        warming.run(_for_steps(trials[:1], WARM_STEPS), Memory())
        recorder = Timed(clock=clock, steps=setting.steps)
        began = time.perf_counter()
        trainer.run(_for_steps(trials, setting.steps), recorder)
        whole_seconds = time.perf_counter() - began
    cache_seconds = recorder.waited if source == "cached" else 0.0
    scores = [result.metrics["test_accuracy"] for result in recorder.results.values()]
    return Outcome(
        len(trials), clock.seconds, scores[0], cache_seconds, len(trials),
        # With evaluations and test, as a sweep does it; the cache apart.
        {"whole_seconds": whole_seconds - cache_seconds, "scores": scores},
    )  # fmt: skip


def _for_steps(trials: list[TrialSpec], steps: int) -> Cohort:
    return Cohort(tuple(replace(t, training=replace(t.training, steps=steps)) for t in trials))
