"""Fine-tunes the teacher once, with the students' training loop and no imitation loss."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch
from transformers import PreTrainedModel

from raykd.config.cluster import Cluster
from raykd.config.cohort import Cohort
from raykd.config.trial import MOST_EPOCHS, TrialSpec
from raykd.data.batches import eval_batches
from raykd.errors import UserError
from raykd.models import lora as adapters
from raykd.models.student import build_student, width
from raykd.planning import inits, teacher_source
from raykd.planning.study import Study
from raykd.planning.teacher_trial import teacher_trial
from raykd.runtime.execution import Execution
from raykd.runtime.precision import tf32
from raykd.runtime.seeds import reseed, stream
from raykd.tasks.evaluation import first_part
from raykd.tasks.registry import task as task_of
from raykd.tasks.task import Data
from raykd.teachers import teacher
from raykd.teachers.fill_cache import sample
from raykd.teachers.targets import LiveTeacher
from raykd.training.distill import distill
from raykd.training.hooks import Hooks
from raykd.training.recorder import Memory
from raykd.training.trainer import in_precision, load_data, save_model, trainable

MEASURED = 512  # training rows whose throughput is timed


def fine_tune(
    study: Study, *, where: Execution | None = None, hooks: Hooks | None = None
) -> teacher.Stored:
    """Return the study's teacher: the one stored under its fingerprint, else train and store it.

    With `teacher.fine_tune: false` the base model is the teacher, and is only scored. Raises
    UserError for a stored teacher that another metric chose, and for one that is no better than the
    majority class, unless the file allows it.
    """
    stored = teacher.stored(study.home, study.teacher)
    if stored is None:
        with tf32():
            stored = _make(study, where or _local_execution(study.config.cluster), hooks)
        torch.cuda.empty_cache()  # the workers that follow may share this GPU
    teacher.refuse_unfit(stored, study.config.teacher, study.config.task.scored_by, study.file)
    return stored


def _local_execution(cluster: Cluster) -> Execution:
    """Return the settings for this machine's first GPU, or its CPU if it has none."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # One model is compiled for longer than it is trained faster.
    return Execution.of(replace(cluster.execution, compile=False), device)


def _make(study: Study, where: Execution, hooks: Hooks | None) -> teacher.Stored:
    began = time.perf_counter()
    config, base, trial = study.config, study.base.folder, teacher_trial(study)
    family = task_of(config.task.kind)
    names = study.prepared.labels
    if not config.teacher.fine_tune:
        names = family.names(base, study.prepared)
    data = load_data(family, study.prepared, names, base, config.task, study.home)
    reseed(stream(trial.seed, "head"))
    model = family.load_model(base, names, trained=not config.teacher.fine_tune)
    _refuse_unequal(study, model)
    model.to(where.device)
    where = in_precision(trial, where, study.home, width(model))
    epochs: dict[str, int] = {}
    if config.teacher.fine_tune:
        lora, memory = trial.training.lora, Memory()
        if lora is not None and (problem := adapters.misfit(model, lora.targets)):
            raise UserError(f"{study.file}: teacher.lora.targets: {problem}")
        trainable(model, trial, where)
        distill(
            Cohort((trial,)), data, lambda _: model, None, width(model), memory,
            where=where, hooks=hooks,
        )  # fmt: skip
        if trial.id in memory.failures:
            raise UserError(
                f"{study.file}: teacher.lr: the teacher {memory.failures[trial.id]}; "
                f"write a smaller rate than {config.teacher.lr:g}"
            )
        if lora is not None:
            adapters.merge(model)
        metrics = memory.results[trial.id].metrics
        select, test = (
            metrics[f"best_select_{trial.metric}"],
            metrics[f"test_{trial.metric}"],
        )
        if trial.training.patience is not None:
            epochs = _epochs(memory.metrics[trial.id][-1][0], metrics["best_step"], trial)
    else:
        select, test = _scores(model, data, trial.metric, where)

    _measure(study, model, data, where)

    def write(folder: Path) -> None:
        save_model(model, family, base, folder)

    assert data.select.labels is not None
    scores = {
        "metric": trial.metric,
        "select": select,
        "test": test,
        "select_majority": family.baseline(trial.metric, data.select.labels, data.select),
        "test_majority": family.baseline(
            trial.metric, data.test_labels()[first_part(data)], data.test
        ),
        "seconds": time.perf_counter() - began,
        **epochs,
    }
    return teacher.store(study.home, study.teacher, write, scores)


def _epochs(steps: int, best_step: float, trial: TrialSpec) -> dict[str, int]:
    """Return the length of a training that early stopping ended, and its best checkpoint, in
    epochs."""
    epoch = trial.training.steps / MOST_EPOCHS
    return {"epochs": round(steps / epoch), "best_epoch": round(best_step / epoch)}


def _refuse_unequal(study: Study, model: PreTrainedModel) -> None:
    """Raise UserError for an init that would not give a student made of its teacher's parts. The
    check runs before training, which may take hours."""
    for key, init in inits.copied(study).items():
        try:
            build_student(model, study.shape, init, 0)
        except ValueError as error:
            raise UserError(
                f"{study.file}: {key}: {error}; copy other blocks, or write `random`"
            ) from error


def _measure(study: Study, model: PreTrainedModel, data: Data, where: Execution) -> None:
    """Measure the teacher's throughput on this machine and store it, so that a plan can tell
    whether caching its outputs pays. Only forward passes over training rows count, as students need
    them, not text generation."""
    live, rows = LiveTeacher(model, (), data.family, where.autocast()), sample(data.train, MEASURED)
    began = time.perf_counter()
    for part in eval_batches(data.train.lengths[rows], data.eval_batch):
        live(data.family.collate(data.train, rows[part], data.pad).to(where.device))
    seconds = time.perf_counter() - began
    tokens = int(data.train.lengths[rows].sum())
    speeds = teacher_source.measure(study.home / "states", tokens, seconds)
    teacher_source.remember(study.home, study.teacher, speeds)


def _scores(
    model: PreTrainedModel, data: Data, metric: str, where: Execution
) -> tuple[float, float]:
    family = data.family
    select = family.evaluate(model, data.select, data, where)
    test = family.evaluate(model, data.test, data, where)
    rows = first_part(data)
    assert data.select.labels is not None
    return (
        family.score(metric, select, data.select.labels),
        family.score(metric, test[rows], data.test_labels()[rows]),
    )
