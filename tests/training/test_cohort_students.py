"""Students of a cohort begin as `build_student` builds each, whatever became of the others."""

from __future__ import annotations

import weakref
from collections import Counter
from typing import Any

import pytest
from transformers import PreTrainedModel

from raykd.config.trial import Init, Shape, TrialSpec
from raykd.models import student, verify_student
from raykd.models.student import build_student
from raykd.runtime.seeds import stream
from raykd.training.cohort_students import CohortStudents

from ..models.test_without_init import places, same
from ..support.specs import spec
from ..support.tiny_models import tiny_model

COPIED, HEADLESS, RANDOM = (
    Init("copied", (2, 4), head=True), Init("copied", (2, 4)), Init("random")
)  # fmt: skip
TEACHER = tiny_model("bert")


def trials(*inits: Init, seeds: tuple[int, ...] = ()) -> list[TrialSpec]:
    seeds = seeds or (0,) * len(inits)
    return [spec(shape=Shape(2), init=i, seed=s) for i, s in zip(inits, seeds, strict=True)]


def alone(trial: TrialSpec) -> PreTrainedModel:
    return build_student(TEACHER, trial.shape, trial.init, stream(trial.seed, "init"))


@pytest.mark.parametrize("inits", [
    (COPIED, COPIED, COPIED), (HEADLESS, HEADLESS), (RANDOM, RANDOM, RANDOM),
    (COPIED, RANDOM, HEADLESS, COPIED, RANDOM, HEADLESS), (COPIED,),
])  # fmt: skip
def test_each_begins_as_if_it_were_built_alone(inits: tuple[Init, ...]) -> None:
    asked = trials(*inits)
    students, built = CohortStudents(TEACHER, asked), list[PreTrainedModel]()
    for trial in asked:
        built.append(students.build(trial))
        same(built[-1], alone(trial))
        for weight in built[-1].parameters():  # as if it were trained before the next is built
            weight.data.zero_()
    held = [places(m) for m in (TEACHER, *built)]
    assert len(set.union(*held)) == sum(map(len, held))


def test_other_seeds_and_shapes_are_other_students() -> None:
    asked = [*trials(RANDOM, RANDOM, seeds=(0, 1)), spec(shape=Shape(3), init=RANDOM)]
    students = CohortStudents(TEACHER, asked)
    for trial in asked:
        same(students.build(trial), alone(trial))


def test_one_of_each_start_is_drawn_and_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    verified, drawn = Counter[str](), Counter[str]()
    difference, seeded = verify_student.difference, student.without_init

    def counted(*args: Any) -> str | None:
        verified["difference"] += 1
        return difference(*args)

    def empty(*args: Any) -> PreTrainedModel:
        drawn["without initial values"] += 1
        return seeded(*args)

    monkeypatch.setattr(verify_student, "difference", counted)
    monkeypatch.setattr(student, "without_init", empty)
    asked = trials(HEADLESS, HEADLESS, HEADLESS, HEADLESS)
    students = CohortStudents(TEACHER, asked)
    for trial in asked:
        students.build(trial)
    assert verified.total() == 1 and drawn.total() == 3


def test_no_student_is_held_after_the_last() -> None:
    asked = trials(COPIED, COPIED)
    students = CohortStudents(TEACHER, asked)
    held = [weakref.ref(students.build(trial)) for trial in asked]
    assert [r() for r in held] == [None, None]


def test_a_resumed_cohort_builds_its_unfinished_students_alone() -> None:
    asked = trials(COPIED, COPIED, COPIED)
    students = CohortStudents(TEACHER, asked)
    for trial in asked[:2]:
        same(students.build(trial), alone(trial))
