"""The teacher of a sweep: made where it is missing, checked, and logged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from raykd.planning.study import Study
from raykd.sweep.ledger import Ledger
from raykd.teachers import teacher as teachers
from raykd.tracking import ledger as runs
from raykd.tracking import store

if TYPE_CHECKING:
    from raykd.training.hooks import Hooks

MakeTeacher = Callable[[Study, "Hooks | None"], teachers.Stored]


def fine_tune_here(study: Study, hooks: Hooks | None) -> teachers.Stored:
    """Return the teacher, trained by this process if it is not stored."""
    from raykd.sweep.fine_tune import fine_tune  # imports torch and transformers

    return fine_tune(study, hooks=hooks)


def ready_teacher(
    study: Study, ledger: Ledger, hooks: Hooks | None = None, make: MakeTeacher = fine_tune_here
) -> teachers.Stored:
    """Return the teacher, made by `make` if it is not stored, and log its MLflow run. Raises
    UserError for a teacher that is no better than the majority class."""
    teacher = teachers.stored(study.home, study.teacher)
    if teacher is None:
        teacher = make(study, hooks)
        store.patiently(ledger.refresh)  # that took long: other launches may have ended
    config = study.config.teacher
    teachers.refuse_weak(teacher, config, study.file)
    runs.log_teacher(
        ledger.client,
        ledger.experiment,
        teacher.fingerprint,
        {k: str(v) for k, v in config.model_dump().items()},
        {
            f"test_{teacher.metric}": teacher.test,
            f"best_select_{teacher.metric}": teacher.select,
            "majority": teacher.test_majority,
            "seconds": teacher.seconds,
        },
        {"raykd.data": study.data},
    )
    return teacher
