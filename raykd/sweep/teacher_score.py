"""The teacher's score, and the facts about data and teacher that a verdict states first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raykd.analysis.verdict.caveats import Facts
from raykd.analysis.verdict.context import TeacherScore
from raykd.data import data_report
from raykd.planning import truncation
from raykd.planning.study import Study
from raykd.teachers import teacher
from raykd.tracking import ledger, store

if TYPE_CHECKING:  # raykd.tracking must turn off telemetry before MLflow is imported
    from mlflow import MlflowClient


def teacher_score(study: Study, client: MlflowClient) -> TeacherScore | None:
    """Return the teacher's score from the home, else from its MLflow run; None where neither has it
    for the metric that the file states now."""
    metric = study.config.task.metric
    stored = teacher.stored(study.home, study.teacher)
    if stored is not None and stored.metric == metric:
        return TeacherScore(
            stored.fingerprint, metric, stored.test, stored.select, stored.test_majority
        )
    experiment = store.find_experiment(client, study.config.name)
    if experiment is None:
        return None
    run = ledger.find(client, experiment, "raykd.teacher", study.teacher)
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
