from __future__ import annotations

import pytest

from raykd.config.sweep import load
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.runtime.execution import Execution
from raykd.sweep.fine_tune import fine_tune
from raykd.training.inputs import TrainingInputs
from raykd.training.trainer import CohortTrainer

from ...support.task_worlds import WORLDS


@pytest.fixture(scope="package", params=WORLDS)
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("world")
    sweep = WORLDS[request.param](folder)
    return resolve(load(sweep), folder / "home", str(sweep))


@pytest.fixture(scope="package")
def sources(study: Study) -> TrainingInputs:
    return training_inputs(study, fine_tune(study).folder)


@pytest.fixture(scope="package")
def trainer(sources: TrainingInputs) -> CohortTrainer:
    """The trained teacher, and the data that it was trained on."""
    return CohortTrainer.load(sources, Execution())
