"""Builds the students of a cohort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from transformers import PreTrainedModel

from raykd.config.trial import Init, Shape, TrialSpec
from raykd.models import student
from raykd.runtime.seeds import stream

Start = tuple[Shape, Init, int]
"""What a student's initial weights depend on, beside the teacher."""


class CohortStudents:
    """Builds the students of a cohort, all from one teacher that does not change meanwhile.

    Students of one shape, init and seed begin with the same weights. The first of them is drawn,
    copied and verified; it is kept as it is, the others are filled with its weights, and it is
    itself the last of them. So no more students are held than the cohort has.
    """

    def __init__(self, teacher: PreTrainedModel, trials: Iterable[TrialSpec]) -> None:
        self._teacher = teacher
        self._waiting = Counter(map(_start, trials))
        self._first: dict[Start, PreTrainedModel] = {}

    def build(self, trial: TrialSpec) -> PreTrainedModel:
        """The student of a trial of the cohort, as `build_student` builds it."""
        start = _start(trial)
        self._waiting[start] -= 1
        first = self._first.pop(start, None)
        if first is None:
            first = student.build_student(self._teacher, *start)
        if self._waiting[start] <= 0:
            return first
        self._first[start] = first
        return student.build_student(self._teacher, *start, first)


def _start(trial: TrialSpec) -> Start:
    return trial.shape, trial.init, stream(trial.seed, "init")
