"""Where the teacher stands beside its students, and what else a verdict has to say first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raykd.analysis.verdict.caveats import Facts
from raykd.analysis.verdict.context import TeacherScore
from raykd.data import data_report
from raykd.planning import truncation
from raykd.planning.study import Study
from raykd.teachers import teacher
from raykd.tracking import ledger, store

if TYPE_CHECKING:  # raykd.tracking says how MLflow is to be imported: without telemetry
    from mlflow import MlflowClient


def teacher_score(study: Study, client: MlflowClient) -> TeacherScore | None:
    """As stored in the home, else as its run in MLflow has it; None where it is in neither, or was
    scored by another metric than the file states now."""
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
    """What is known of a sweep beside its students' scores."""
    fix = "train it longer (teacher.epochs, teacher.lr)"
    if not study.config.teacher.fine_tune:
        fix = "fine-tune it on these rows (teacher.fine_tune), or take another one"
    report = truncation.reported(study)
    return Facts(teacher_score(study, client), data_report.caveats(report), fix)
