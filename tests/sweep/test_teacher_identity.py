"""Which settings identify a teacher: what chose its checkpoint is among them (data 9)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raykd.config.sweep import load
from raykd.errors import UserError
from raykd.planning import older_rules
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.trials import confirm_trials
from raykd.sweep.older_trials import Older, older
from raykd.teachers import teacher as teachers

from ..support.world import write_sweep
from .test_older_rules import finished

RECIPES: dict[str, dict[str, Any]] = {
    "fixed length": {"epochs": 3},
    "one checkpoint": {"epochs": 1},
    "early stopping": {},
    "fine-tuned elsewhere": {"fine_tune": False},
}


def study(folder: Path, metric: str | None, **teacher: Any) -> Study:
    task = {"data": str(folder / "reviews.csv"), **({"metric": metric} if metric else {})}
    model = {"model": str(folder / "model"), **teacher}
    file = write_sweep(folder, task=task, teacher=model)
    return resolve(load(file), folder / "home", str(file))


@pytest.mark.parametrize("recipe", RECIPES)
def test_metrics_have_teachers_of_their_own(tmp_path: Path, recipe: str) -> None:
    """Data 9: the second file took the first's teacher, chosen and scored by another metric."""
    metrics = (None, "accuracy", "macro_f1", "f1")
    names = [study(tmp_path, metric, **RECIPES[recipe]).teacher for metric in metrics]
    assert names[0] == names[1] and len({*names}) == 3


def test_the_old_identity_is_a_key(tmp_path: Path) -> None:
    """`identity: recipe` gives the names of 0.1.0, in which the metric is no part."""
    names = {m: study(tmp_path, m, epochs=3, identity="recipe").teacher for m in ("f1", "macro_f1")}
    assert {*names.values()} == {study(tmp_path, "accuracy", epochs=3).teacher}


def record(found: Study, metric: str, **scores: float) -> teachers.Stored:
    values = {"select": 80.0, "test": 80.0, "select_majority": 50.0, "test_majority": 50.0}
    content = {"metric": metric, "seconds": 1.0, **values, **scores}
    return teachers.store(found.home, found.teacher, lambda folder: None, content)


@pytest.mark.parametrize("identity", ["metric", "recipe"])
def test_a_stored_teacher_of_another_metric_is_refused(tmp_path: Path, identity: str) -> None:
    """A store of 0.1.0 has teachers of every metric under one name."""
    metric = "accuracy" if identity == "metric" else "f1"
    found = study(tmp_path, metric, epochs=3, identity=identity)
    stored, config = record(found, "macro_f1"), found.config.teacher
    of = found.config.task.scored_by
    with pytest.raises(UserError) as error:
        teachers.refuse_unfit(stored, config, of, found.file)
    (line,) = error.value.lines
    advice = str(stored.folder) if identity == "metric" else "`identity: metric`"
    for part in (found.file, "teacher.identity", "macro_f1", metric, advice):
        assert part in line
    teachers.refuse_unfit(replace(stored, metric=metric), config, of, found.file)


def test_trials_of_the_old_identity_are_counted_with_its_key(tmp_path: Path) -> None:
    now = study(tmp_path, "f1", epochs=3)
    then = confirm_trials(study(tmp_path, "f1", epochs=3, identity="recipe"))
    key = "teacher.identity: recipe"
    assert older(now, finished(then, 3)) == (Older(len(then), (key,)),)
    early = study(tmp_path, "f1")
    oldest = confirm_trials(
        study(tmp_path, "f1", epochs=older_rules.EPOCHS_BEFORE, identity="recipe")
    )
    assert older(early, finished(oldest, 1)) == (Older(len(oldest), ("teacher.epochs: 2", key)),)
    assert older_rules.before(study(tmp_path, "accuracy", epochs=3).config, 3) is None
