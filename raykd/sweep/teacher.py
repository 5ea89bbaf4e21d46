"""The teacher of a sweep: made where it is missing, checked and logged; its score, and the facts
about it and the data that a verdict states first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from raykd.analysis.verdict.caveats import Facts
from raykd.analysis.verdict.context import TeacherScore
from raykd.data import data_report
from raykd.planning import truncation
from raykd.planning.study import Study
from raykd.runtime import memory, processors
from raykd.sweep.ledger import Ledger
from raykd.teachers import teacher as teachers
from raykd.tracking import ledger as runs
from raykd.tracking import store

if TYPE_CHECKING:  # raykd.tracking must turn off telemetry before MLflow is imported
    from mlflow import MlflowClient

    from raykd.training.hooks import Hooks

MakeTeacher = Callable[[Study, "Hooks | None"], teachers.Stored]


def fine_tune_here(study: Study, hooks: Hooks | None) -> teachers.Stored:
    """Return the teacher, trained by this process if it is not stored."""
    import torch

    from raykd.sweep.fine_tune import fine_tune  # imports transformers

    # torch knows nothing of a container's quota.
    torch.set_num_threads(min(torch.get_num_threads(), processors.count()))
    stored = fine_tune(study, hooks=hooks)
    memory.release()
    return stored


def ready_teacher(
    study: Study, ledger: Ledger, hooks: Hooks | None = None, make: MakeTeacher = fine_tune_here
) -> teachers.Stored:
    """Return the teacher, made by `make` if it is not stored, and log its MLflow run. Raises
    UserError for a teacher that is no better than the majority class, and for an experiment that
    is deleted or of a newer raykd."""
    teacher = teachers.stored(study.home, study.teacher)
    if teacher is None:
        ledger.find_experiment()  # one that cannot take the teacher's run is refused before
        teacher = make(study, hooks)
        store.patiently(ledger.refresh)  # that took long: other launches may have ended
    config = study.config.teacher
    teachers.refuse_unfit(teacher, config, study.config.task.scored_by, study.file)
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


def teacher_score(study: Study, client: MlflowClient) -> TeacherScore | None:
    """Return the teacher's score from the home, else from its MLflow run; None where neither has it
    for the metric that the file states now."""
    metric = study.config.task.metric
    stored = teachers.stored(study.home, study.teacher)
    if stored is not None and stored.metric == metric:
        return TeacherScore(
            stored.fingerprint, metric, stored.test, stored.select, stored.test_majority
        )
    experiment = store.find_experiment(client, study.config.name)
    if experiment is None:
        return None
    run = runs.find(client, experiment, "raykd.teacher", study.teacher)
    metrics = run.data.metrics if run is not None else {}
    if f"test_{metric}" not in metrics:
        return None
    return TeacherScore(
        study.teacher, metric, metrics[f"test_{metric}"], metrics[f"best_select_{metric}"],
        metrics["majority"],
    )  # fmt: skip


def facts(study: Study, client: MlflowClient) -> Facts:
    """Return what a verdict needs besides scores: the teacher, caveats about the data, and the
    advice for a weak teacher."""
    fix = "train it longer (teacher.epochs, teacher.lr)"
    if not study.config.teacher.fine_tune:
        fix = "fine-tune it on these rows (teacher.fine_tune), or take another one"
    report = truncation.reported(study)
    return Facts(teacher_score(study, client), data_report.caveats(report), fix)
