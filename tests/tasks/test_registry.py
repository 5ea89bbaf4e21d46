"""What each kind of task must show end to end: a teacher learns it, and nobody reads the labels of
test while anybody learns. The invariants over every model class are in test_model_classes.py."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.data.prepared import Prepared
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.sweep.fine_tune import fine_tune
from raykd.training.inputs import TrainingInputs
from raykd.training.trainer import CohortTrainer

from ..support import world, world_seq2seq
from ..support.lm_world import WRITTEN, write_lm_sweep
from ..support.loop import train


def write_seq2seq(folder: Path) -> Path:
    teacher = {"model": str(folder / "model"), "epochs": 60, "lr": 5e-3}
    return world_seq2seq.write_sweep(folder, teacher=teacher)


WORLDS: dict[str, Callable[[Path], Path]] = {
    "classification": world.write_sweep,
    "causal_lm of choices": write_lm_sweep,
    "causal_lm that writes": partial(write_lm_sweep, task=WRITTEN),
    "seq2seq": write_seq2seq,
}


@pytest.fixture(scope="module", params=WORLDS)
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("world")
    sweep = WORLDS[request.param](folder)
    return resolve(load(sweep), folder / "home", str(sweep))


@pytest.fixture(scope="module")
def sources(study: Study) -> TrainingInputs:
    return training_inputs(study, fine_tune(study).folder)


def test_the_teacher_beats_one_and_the_same_answer(study: Study) -> None:
    found = fine_tune(study)
    assert found.test > found.test_majority + 15


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

    class Steps:
        def progress(self, step: int, examples: int, scores: Any, taught: Any) -> None:
            events.append(f"step {step}")

        def checkpoint(self, step: int, state: Any) -> None: ...

    monkeypatch.setattr(Prepared, "test_labels", reading)
    monkeypatch.setattr(np, "load", loading)
    cohort = Cohort(confirm_trials(study)[:2])
    train(cohort, sources, hooks=Steps())
    last = events.index(f"step {cohort.trials[0].training.steps}")
    assert events.index("labels") > last and events.index("file") > last
