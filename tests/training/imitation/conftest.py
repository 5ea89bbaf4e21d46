"""A small sweep from copied and random weights, whose students are measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from raykd.config.sweep import load
from raykd.config.trial import TrialSpec
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.sweep.fine_tune import fine_tune
from raykd.training.inputs import TrainingInputs
from raykd.training.trainer import CohortTrainer

from ...support.world import write_sweep


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("world")
    confirm = {"strategies": ["none", "forward", "reverse"], "inits": ["copied", "random"]}
    sweep = write_sweep(folder, confirm=confirm)
    return resolve(load(sweep), folder / "home", str(sweep))


@pytest.fixture(scope="module")
def sources(study: Study) -> TrainingInputs:
    return training_inputs(study, fine_tune(study).folder)


@pytest.fixture(scope="module")
def trainer(sources: TrainingInputs) -> CohortTrainer:
    torch.set_num_threads(1)
    return CohortTrainer.load(sources, Execution())


def trial_of(study: Study, strategy: str, kind: str = "mse", init: str = "copied") -> TrialSpec:
    trials = (t for t in confirm_trials(study) if t.strategy == strategy and t.init.kind == init)
    trial = next(trials)
    return replace(trial, loss=replace(trial.loss, kind=kind))
