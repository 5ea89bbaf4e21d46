"""Metrics that a plug-in registers: what selects students, and what is reported beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.errors import UserError
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.sweep.fine_tune import fine_tune
from raykd.tasks.kinds import metric as registry
from raykd.tasks.kinds.metric import register_metric

from ..support.loop import train
from ..support.world import write_sweep


def error_rate(answers: np.ndarray, labels: np.ndarray) -> float:
    return float(100 * (answers.argmax(-1) != labels).mean())


def of_three(answers: np.ndarray, labels: np.ndarray) -> float:
    return 0.0


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    register_metric("error_rate", error_rate, False, reported_with=("accuracy",))
    register_metric("of_three", of_three, classes=3)
    yield


def study(folder: Path, **task: Any) -> Study:
    file = write_sweep(
        folder,
        task={"data": str(folder / "reviews.csv"), **task},
        confirm={"strategies": ["forward"], "seeds": 1, "inits": ["random"]},
    )
    return resolve(load(file), folder / "home", file.name)


def test_one_of_which_smaller_is_better_is_reported_beside_another(tmp_path: Path) -> None:
    small = study(tmp_path)
    (trial,) = confirm_trials(small)
    result = train(Cohort((trial,)), training_inputs(small, fine_tune(small).folder)).results[
        trial.id
    ]
    assert result.metrics["test_error_rate"] == pytest.approx(100 - result.metrics["test_accuracy"])


def test_one_of_which_smaller_is_better_selects_no_students(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refusal:
        study(tmp_path, metric="error_rate")
    message = str(refusal.value)
    assert "task.metric" in message and "error_rate" in message and "write accuracy" in message
    assert "or error_rate" not in message


def test_one_of_another_number_of_classes_names_those_that_fit(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refusal:
        study(tmp_path, metric="of_three")
    message = str(refusal.value)
    assert "task.metric: of_three is for 3 classes" in message and "has 2" in message
    assert "write accuracy or f1 or macro_f1 or matthews" in message
    assert "error_rate" not in message
