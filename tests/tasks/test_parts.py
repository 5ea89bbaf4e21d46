"""Test in parts: the metric is of the first, the others stand beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.sweep.fine_tune import fine_tune
from raykd.tasks import classification
from raykd.tasks.evaluation import first_part, scores_on_test
from raykd.training.trainer import CohortTrainer

from ..data.test_readers import write
from ..support.loop import train
from ..support.world import texts, write_sweep


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("parts")
    rows, names = texts(150), ("train", "train", "select", "near", "far")
    path = write(
        folder / "rows.csv",
        {
            "text": [f"{text} {i}" for i, (text, _) in enumerate(rows)],
            "label": [label for _, label in rows],
            "fold": [names[i % 5] for i in range(150)],
        },
    )
    task = {"data": str(path), "split": "fold", "test_splits": {"m": "near", "mm": "far"}}
    teacher = {"model": str(folder / "model"), "epochs": 1, "lr": 3e-3, "allow_weak": True}
    sweep = write_sweep(folder, task=task, teacher=teacher)
    return resolve(load(sweep), folder / "home", str(sweep))


def test_a_student_is_scored_on_each_part(study: Study) -> None:
    sources = training_inputs(study, fine_tune(study).folder)
    trial = confirm_trials(study)[1]
    result = train(Cohort((trial,)), sources).results[trial.id]
    columns = result.predictions
    assert columns["part"] == ["m"] * 30 + ["mm"] * 30
    for part, suffix in (("m", ""), ("mm", "_mm")):
        mine = np.array(columns["part"]) == part
        right = np.array(columns["correct"])[mine]
        assert result.metrics[f"test_accuracy{suffix}"] == pytest.approx(100 * right.mean())
        said, truth = (np.array(columns[c])[mine] == "pos" for c in ("predicted", "label"))
        assert result.metrics[f"test_f1{suffix}"] == pytest.approx(100 * f1_score(truth, said))
    assert "test_accuracy_m" not in result.metrics


def test_the_teacher_is_measured_on_the_first_part(study: Study) -> None:
    stored = fine_tune(study)
    sources = training_inputs(study, stored.folder)
    data = CohortTrainer.load(sources, Execution()).data
    assert first_part(data) == slice(0, 30)
    labels = data.test_labels()[:30]
    assert stored.test_majority == classification.Classification().baseline("accuracy", labels)


class Labels:
    """A data set of so many classes, for what needs no model."""

    def __init__(self, classes: int, parts: dict[str, slice]) -> None:
        self.family, self.parts = classification.Classification(), parts
        self.labels = tuple("abc"[:classes])


@pytest.mark.parametrize(("classes", "beside"), [(2, "f1"), (3, "macro_f1")])
def test_accuracy_and_f1_are_told_together(classes: int, beside: str) -> None:
    labels = np.arange(12) % classes
    answers = np.eye(classes)[(labels + (np.arange(12) % 4 == 0)) % classes]
    data: Any = Labels(classes, {"": slice(None)})
    found = scores_on_test(data, "accuracy", answers, labels)
    assert found.keys() == {"test_accuracy", f"test_{beside}"}
    assert found["test_accuracy"] == pytest.approx(75)
    again = scores_on_test(data, beside, answers, labels)
    assert again == found
    assert scores_on_test(data, "matthews", answers, labels).keys() == {"test_matthews"}
