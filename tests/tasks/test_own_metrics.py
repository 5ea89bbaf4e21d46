"""Metrics that a plug-in registers: what selects students, and what is reported beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
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
from raykd.teachers.teacher import Stored, refuse_unfit

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


def test_one_of_which_smaller_is_better_selects_the_students_of_its_opposite(
    tmp_path: Path,
) -> None:
    """Checkpoints by the error rate are those by accuracy, of the teacher and of students."""
    kept = {}
    for name in ("accuracy", "error_rate"):
        small = study(tmp_path, metric=name)
        (trial,) = confirm_trials(small)
        teacher = fine_tune(small)
        result = train(Cohort((trial,)), training_inputs(small, teacher.folder)).results[trial.id]
        students = (result.metrics[f"best_select_{name}"], result.metrics[f"test_{name}"])
        teachers = (teacher.select, teacher.test, teacher.select_majority, teacher.test_majority)
        kept[name] = (result.metrics["best_step"], np.array([*students, *teachers]))
    assert kept["error_rate"][0] == kept["accuracy"][0]
    np.testing.assert_allclose(kept["error_rate"][1], 100 - kept["accuracy"][1])


def test_a_teacher_no_better_than_one_answer_is_refused_by_the_direction_of_its_metric() -> None:
    config = SimpleNamespace(allow_weak=False, model="here", identity="metric")
    error_rate = registry.metric_of("classification", "error_rate")
    for select, refused in ((40.0, False), (50.0, True), (60.0, True)):
        stored = Stored(Path("here"), "f" * 12, "error_rate", select, 40.0, 50.0, 50.0, 1.0)
        with pytest.raises(UserError, match="no better than") if refused else nullcontext():
            refuse_unfit(stored, config, error_rate, "sweep.yaml")  # type: ignore[arg-type]


def test_one_of_another_number_of_classes_names_those_that_fit(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refusal:
        study(tmp_path, metric="of_three")
    message = str(refusal.value)
    assert "task.metric: of_three is for 3 classes" in message and "has 2" in message
    assert "write accuracy or f1 or macro_f1 or matthews or error_rate" in message
