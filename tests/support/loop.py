"""The training loop in one process, and its recorded metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from raykd.config.cohort import Cohort
from raykd.config.trial import TrialSpec
from raykd.models import student
from raykd.runtime.execution import Execution
from raykd.training.hooks import NoHooks
from raykd.training.inputs import TrainingInputs
from raykd.training.recorder import Memory, Recorder
from raykd.training.trainer import CohortTrainer

TIMES = {"seconds", "teacher_seconds", "examples_per_second", "peak_memory_mb"}


def run_cohort(
    cohort: Cohort,
    sources: TrainingInputs,
    recorder: Recorder,
    where: Execution | None = None,
    **options: Any,
) -> None:
    """Train one cohort in this process. Options are those of `CohortTrainer.run`."""
    CohortTrainer.load(sources, where or Execution()).run(cohort, recorder, **options)


def train(cohort: Cohort, sources: TrainingInputs, **options: Any) -> Memory:
    torch.set_num_threads(1)
    memory = Memory()
    run_cohort(cohort, sources, memory, **options)
    return memory


def told(memory: Memory, trial: TrialSpec) -> tuple[Any, ...]:
    """Everything recorded of a trial except times."""
    result = memory.results[trial.id]
    metrics = {k: v for k, v in result.metrics.items() if k not in TIMES}
    return metrics, dict(result.predictions), series(memory, trial)


def series(memory: Memory, trial: TrialSpec) -> dict[tuple[int, str], float]:
    logged = memory.metrics.get(trial.id, [])
    return {(step, name): value for step, metrics in logged for name, value in metrics.items()}


class Interrupt(NoHooks):
    """Hooks that save every checkpoint to disk and raise InterruptedError at a step."""

    def __init__(self, folder: Path, stop_at: int | None) -> None:
        self.folder, self.stop_at = folder, stop_at

    def progress(self, step: int, examples: int, scores: Any, taught: Any) -> None:
        if self.stop_at is not None and step >= self.stop_at:
            raise InterruptedError

    def checkpoint(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        torch.save(state(), self.folder / "state.pt")


def without_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    build = student.build_student

    def build_dry(*args: Any) -> Any:
        model = build(*args)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout_prob"):
                module.dropout_prob = 0.0
        model.config.attention_probs_dropout_prob = 0.0
        return model

    monkeypatch.setattr(student, "build_student", build_dry)
