"""What each kind of task must show end to end: a teacher learns it, and nobody reads the labels of
test while anybody learns. The invariants over every model class are in test_model_classes.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from raykd.config.cohort import Cohort
from raykd.data.prepared import Prepared
from raykd.planning.study import Study
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.sweep.fine_tune import fine_tune
from raykd.training.hooks import NoHooks
from raykd.training.inputs import TrainingInputs
from raykd.training.trainer import CohortTrainer

from ...support.loop import series, told, train


def test_the_teacher_beats_one_and_the_same_answer(study: Study) -> None:
    found, metric = fine_tune(study), study.config.task.scored_by
    gain = metric.sign * (found.test - found.test_majority)
    assert gain > (15 if metric.percent else 0.5)


def test_test_labels_are_read_after_training_only(
    study: Study, sources: TrainingInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 7: nothing that a training process holds knows what is right in test, and the file
    that does is opened after the last step."""
    assert "label" not in study.prepared.rows("test").column_names
    data = CohortTrainer.load(sources, Execution()).data
    assert data.test.labels is None
    events: list[str] = []
    read = Prepared.test_labels

    def reading(self: Prepared) -> np.ndarray:
        events.append("labels")
        return read(self)

    load_array = np.load

    def loading(file: Any, *args: Any, **kwargs: Any) -> Any:
        if "test_labels" in str(file):
            events.append("file")
        return load_array(file, *args, **kwargs)

    class Steps(NoHooks):
        def progress(self, step: int, examples: int, scores: Any, taught: Any) -> None:
            events.append(f"step {step}")

    monkeypatch.setattr(Prepared, "test_labels", reading)
    monkeypatch.setattr(np, "load", loading)
    cohort = Cohort(confirm_trials(study)[:2])
    train(cohort, sources, hooks=Steps())
    last = events.index(f"step {cohort.trials[0].training.steps}")
    assert events.index("labels") > last and events.index("file") > last


def test_students_learn_in_a_cohort_as_they_do_alone(study: Study, sources: TrainingInputs) -> None:
    together = Cohort(confirm_trials(study)[:2])
    memory = train(together, sources)
    for trial in together.trials:
        losses = [value for (_, name), value in series(memory, trial).items() if "loss" in name]
        assert losses and np.isfinite(losses).all()
        alone = train(Cohort((trial,)), sources)
        assert told(alone, trial) == told(memory, trial)
        scores = memory.results[trial.id].metrics
        assert f"test_{trial.metric}" in scores and f"best_select_{trial.metric}" in scores
