"""What a verdict says before its findings, and that it says it only where it is so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from raykd.analysis.verdict.caveats import Facts, caveats
from raykd.analysis.verdict.context import TeacherScore
from raykd.analysis.verdict.judge import judge

from ..made import scores, together

ARMS = {"none": [80.0, 81.0], "forward": [88.0, 89.0], "reverse": [87.0, 88.5]}


def kinds(
    arms: Any = None, teacher: float | None = 95.0, majority: float = 50.0, margin: float = 1.0,
    **more: Any,
) -> list[str]:  # fmt: skip
    found = scores(arms or ARMS, **more)
    taught = TeacherScore("t" * 12, "accuracy", teacher, teacher, majority) if teacher else None
    return [c.kind for c in caveats(judge(found, margin), found, Facts(taught))]


def test_where_all_is_well_nothing_is_said() -> None:
    assert kinds() == []
    assert kinds(teacher=None) == []


@pytest.mark.parametrize("score", [79.0, 86.0])
def test_students_above_their_teacher_are_told(score: float) -> None:
    """All of them, or those that match none of its layers, by their mean."""
    arms = {**ARMS, "mean_forward": [86.5, 86.5]}
    assert kinds(arms, score, controls=["mean_forward"]) == ["teacher_beaten"]


def test_a_matched_student_above_its_teacher_is_no_reason_for_doubt() -> None:
    assert kinds(teacher=88.0) == []


def test_the_sentences_name_arms_scores_and_what_to_do() -> None:
    def says(arms: Any) -> str:
        found = scores(arms)
        taught = Facts(TeacherScore("t", "accuracy", 79.0, 90.0, 50.0))
        (one,) = caveats(judge(found), found, taught)
        return one.says

    assert says({**ARMS, "reverse": [70.0, 71.0]}) == (
        "students without the teacher's layers beat the teacher (79.00): none 80.50; "
        "train it longer"
    )
    assert says(ARMS) == "every strategy beats the teacher (79.00): train it longer"


def test_a_coarse_score_is_told_with_its_rows() -> None:
    assert kinds(resolution=0.51) == ["coarse"]
    assert kinds(resolution=0.5) == []
    assert kinds(resolution=0.51, margin=2.0) == []
    found = scores(ARMS, resolution=2.5)
    rows = {"ids": np.arange(40), "correct": np.ones(40, bool)}
    found = replace(found, items=tuple(replace(s, **rows) for s in found.items))
    (one,) = caveats(judge(found, 1.0), found)
    assert one.says.startswith("a step of the score (1 of 40 test rows, 2.5) is larger than half")


def test_an_arm_at_the_majority_class_is_told_and_no_other() -> None:
    arms = {**ARMS, "reverse": [50.0, 50.2]}
    assert kinds(arms, majority=50.0, resolution=0.1) == ["majority"]
    assert kinds(arms, majority=49.9, resolution=0.1) == []


def test_several_settings_are_named() -> None:
    found = together(scores(ARMS), scores({**ARMS, "none": [96.0, 97.0]}, init="random"))
    told = caveats(judge(found), found, Facts(TeacherScore("t", "accuracy", 95.0, 95.0, 50.0)))
    assert [("(random, 3 blocks)" in c.says, "(copied" in c.says) for c in told] == [(True, False)]


def test_what_became_of_the_rows_is_told_as_it_is() -> None:
    found = scores(ARMS)
    (one,) = caveats(judge(found), found, Facts(data=("12 of 100 rows are dropped",)))
    assert (one.kind, one.says) == ("data", "12 of 100 rows are dropped")


def test_a_loss_is_told_by_its_direction_with_the_digits_of_the_margin() -> None:
    """Students above the unigram model's loss, and one that is better than the teacher."""
    arms = {"none": [3.9, 3.9], "forward": [3.4, 3.4], "reverse": [6.85, 6.85]}
    found = scores(arms, larger_is_better=False)
    named = tuple(replace(s, metric="nats") for s in found.items)
    found = replace(found, items=named, metric="nats")
    taught = Facts(TeacherScore("t", "nats", 4.0, 4.0, 6.8))
    one, other = caveats(judge(found, 0.02), found, taught)
    assert one.says.startswith("students without the teacher's layers beat the teacher (4.000)")
    assert other.says == "no better than the unigram model (6.800): reverse 6.850"
    fine = Facts(TeacherScore("t", "nats", 3.0, 3.0, 6.9))
    assert caveats(judge(found, 0.02), found, fine) == ()
