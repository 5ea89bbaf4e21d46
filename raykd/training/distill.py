"""distill(): a cohort of students under one teacher pass per batch.

The same loop runs in one process and inside a data-parallel group. Fine-tuning the teacher uses it
too, with one "student" and no teacher. The loop knows neither Ray nor MLflow: the recorder, the
checkpoint hooks and the worker group are arguments.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from raykd.config.cohort import Cohort
from raykd.config.trial import TrialSpec
from raykd.data.batches import Step, by_epoch, prefetch, shard
from raykd.losses.hidden.statistics import Statistics
from raykd.models.embedding_rows import tokens_in
from raykd.runtime import memory
from raykd.runtime.execution import Execution
from raykd.runtime.seeds import stream
from raykd.search.halving import SuccessiveHalving
from raykd.tasks.endpoints import by_example, means
from raykd.tasks.evaluation import predictions_on_test, scores_on_test
from raykd.tasks.task import Data
from raykd.teachers.controls import Controls, by_kind
from raykd.teachers.targets import Part, TeacherSource
from raykd.training.early_stopping import marks, stalled
from raykd.training.hooks import Hooks, NoHooks, TeacherTiming
from raykd.training.imitation.gradients import GradientProbe
from raykd.training.imitation.probe import ImitationProbe, measured_steps
from raykd.training.learner import Learner
from raykd.training.recorder import Recorder, Result, Silent, note_on_skipped
from raykd.training.step import optimize, with_targets

logger = logging.getLogger(__name__)

TICKS = 10  # times per training that the losses are logged and checked for divergence


def distill(
    cohort: Cohort,
    data: Data,
    build: Callable[[TrialSpec], PreTrainedModel],
    teacher: TeacherSource | None,
    teacher_width: int,
    recorder: Recorder,
    *,
    where: Execution | None = None,
    hooks: Hooks | None = None,
    resume: Mapping[str, Any] | None = None,
    save_student: Callable[[TrialSpec, PreTrainedModel, Path], bool] | None = None,
    facts: Mapping[str, str] | None = None,
    rungs: SuccessiveHalving | None = None,
    probe: Callable[[Sequence[Learner], int, Recorder], None] | None = None,
    imitation: ImitationProbe | None = None,
    gradients: GradientProbe | None = None,
    controls: Controls | None = None,
    statistics: Statistics | None = None,
    teacher_choices: Callable[[str], np.ndarray] | None = None,
) -> None:
    """Train the cohort's students, evaluate them, and report the results to `recorder`.

    `build` returns a trial's untrained student. `resume` is a state that `hooks.checkpoint`
    stored. `save_student` may write a finished student into a folder and returns whether it did.
    `rungs` decides when the worst students are dropped. `probe` is called at evaluations with the
    students, the step and the recorder, and does not change the students; `imitation` and
    `gradients` likewise, at their own steps. `controls` makes the targets of control trials.
    `statistics` are those of the teacher's states, for hidden losses that standardise.
    `teacher_choices` returns the class that the teacher chooses for each test row under a metric;
    every worker calls it, after training.
    """
    where, hooks = where or Execution(), hooks or NoHooks()
    recorder = recorder if where.group.rank == 0 else Silent()
    learners = _learners(
        cohort, data, build, teacher_width, recorder, where, facts or {}, statistics
    )
    if not learners:
        return
    if resume is not None and not all(
        learner.weights.begins_as(resume["students"][learner.trial.id]) for learner in learners
    ):
        resume = None  # another version of a package draws other weights: from the beginning
    start = 0 if resume is None else int(resume["step"])
    if resume is not None:
        for learner in learners:
            learner.load(resume["students"][learner.trial.id])
        if gradients is not None:
            gradients.load(resume.get("gradients", {}))  # 0.1.0 had none

    plan, seed = cohort.trials[0].training, stream(cohort.trials[0].seed, "order")
    ticks, evaluations = marks(plan.steps, TICKS), marks(plan.steps, plan.evaluations)
    measured = measured_steps(plan, data, evaluations)
    drops = rungs.steps(plan.steps) if rungs is not None and len(cohort.trials) > 1 else {}
    source = teacher.name if teacher else None
    teacher_seconds, teacher_rows, examples, scores = 0.0, 0, 0, dict[str, float]()
    order = by_epoch(data.train.lengths, plan.batch, seed, start, plan.batch_tokens)
    steps = islice(order, plan.steps - start)
    feed = prefetch(steps, lambda step: _feed(data, step, where, teacher))
    for done, parts in enumerate(feed, start + 1):
        active = [s for s in learners if s.training and not stalled(s, done - 1, data)]
        if not active:
            break
        teacher_rows += parts[0][0].examples
        examples += parts[0][0].examples * len(active)
        began = time.perf_counter()
        teacher_parts = with_targets(teacher, parts, where, cohort.trials[0].seed, done - 1)
        kinds = {learner.trial.targets for learner in active}
        targets = by_kind(kinds, teacher_parts, controls, done - 1)
        teacher_seconds += time.perf_counter() - began
        optimize(active, targets, done - 1, where)
        if gradients is not None:
            gradients(active, done, recorder.log)
            for learner in active:  # its own hooks hold the graph of the measured pass
                learner.taps.clear()
        if not (done in ticks or done in evaluations or done in drops):
            if hooks.asks_at(done):
                hooks.checkpoint(done, partial(_state, done, learners, source, gradients))
            continue
        _log_losses(active, done, recorder)
        if done in evaluations or done in drops:
            select_scores = {
                s.trial.id: _select_score(s, data, where) for s in active if s.training
            }
            sign = data.sign(cohort.trials[0].metric)
            _log_scores(active, select_scores, done, recorder, done in evaluations, sign)
            if rungs is not None and done in drops:
                ranked = {trial: sign * score for trial, score in select_scores.items()}
                losers = rungs.losers(ranked, len(cohort.trials), drops[done])
                _drop(active, losers, select_scores, recorder)
            scores |= select_scores
        if done in evaluations and probe is not None:
            probe([learner for learner in active if learner.training], done, recorder)
        if imitation is not None and done in measured:
            students = [learner for learner in active if learner.training]
            for student, metrics in zip(students, imitation.measure(students), strict=True):
                recorder.log(student.trial, done, metrics)
        if done in evaluations or hooks.asks_at(done):
            hooks.checkpoint(done, partial(_state, done, learners, source, gradients))
        hooks.progress(done, examples, scores, TeacherTiming(source, teacher_seconds, teacher_rows))
        examples = 0

    share = teacher_seconds / max(1, len(learners))
    unpruned = [learner for learner in learners if not learner.pruned]
    _finish(unpruned, data, where, recorder, save_student, share, teacher_choices)


def _learners(
    cohort: Cohort, data: Data, build: Callable[[TrialSpec], PreTrainedModel], teacher_width: int,
    recorder: Recorder, where: Execution, facts: Mapping[str, str],
    statistics: Statistics | None,
) -> list[Learner]:  # fmt: skip
    """Return a learner for each unfinished trial; every worker gets the same ones."""
    group = where.group
    used = tokens_in(data.train.input_ids, data.pad)
    args = (data.family, teacher_width, where, used, statistics)
    to_train = [recorder.open(t, facts) for t in cohort.trials] if group.rank == 0 else None
    shared_to_train: list[bool] = group.gather(to_train)[0]  # type: ignore[assignment]
    return [
        Learner(t, build(t), *args)
        for t, train in zip(cohort.trials, shared_to_train, strict=True)
        if train
    ]  # fmt: skip


def _log_losses(active: list[Learner], step: int, recorder: Recorder) -> None:
    """Log the mean losses since the last call; diverged students leave the cohort here."""
    for learner in active:
        recorder.log(learner.trial, step, learner.running_losses(step))
        if learner.failure is not None:
            recorder.fail(learner.trial, learner.failure)


def _log_scores(
    active: list[Learner],
    scores: Mapping[str, float],
    step: int,
    recorder: Recorder,
    consider: bool,
    sign: int,
) -> None:
    for learner in active:
        if learner.trial.id not in scores:
            continue
        score = scores[learner.trial.id]
        recorder.log(learner.trial, step, {f"select_{learner.trial.metric}": score})
        # A rung's score only decides which students are dropped.
        if consider and learner.trial.loss.may_choose(step, learner.trial.training.steps):
            learner.keep_best(score, step, sign)


def _drop(
    active: list[Learner], losers: list[str], scores: Mapping[str, float], recorder: Recorder
) -> None:
    for learner in active:
        if learner.trial.id in losers:
            learner.prune()
            recorder.prune(learner.trial, learner.steps, scores[learner.trial.id])


def _feed(data: Data, step: Step, where: Execution, teacher: TeacherSource | None) -> list[Part]:
    """Return this worker's share of a global batch, in micro batches, each with the teacher's
    prefetched targets."""
    epoch, rows = step
    share, parts = shard(rows, where.group.rank, where.group.world), []
    size = where.micro_batch or max(1, len(share))
    for i in range(0, max(1, len(share)), size):
        batch = data.family.collate(data.train, share[i : i + size], data.pad, rows)
        prefetched = teacher.prefetch(batch) if teacher is not None and len(share) else None
        parts.append((replace(batch, epoch=epoch).pinned(where.device), prefetched))
    return parts


def _state(
    step: int, learners: list[Learner], source: str | None, gradients: GradientProbe | None
) -> dict[str, Any]:
    students = {learner.trial.id: learner.state() for learner in learners}
    measured = {} if gradients is None else gradients.state()
    return {"step": step, "source": source, "students": students, "gradients": measured}


def _select_score(learner: Learner, data: Data, where: Execution) -> float:
    began = time.perf_counter()
    answers = data.family.evaluate(learner.model, data.select, data, where)
    learner.taps.clear()
    assert data.select.labels is not None
    score = data.family.score(learner.trial.metric, answers, data.select.labels)
    learner.seconds += time.perf_counter() - began
    return score


def _finish(
    learners: list[Learner],
    data: Data,
    where: Execution,
    recorder: Recorder,
    save_student: Callable[[TrialSpec, PreTrainedModel, Path], bool] | None,
    teacher_seconds: float,
    teacher_choices: Callable[[str], np.ndarray] | None,
) -> None:
    """Evaluate each student's best weights (by select score) on the test split, once. Explored
    students are never tested, because their scores are used to choose maps."""
    for learner in learners:
        trial, metric = learner.trial, learner.trial.metric
        if learner.failure is not None:
            recorder.fail(trial, learner.failure)
            continue
        scores, predictions = {}, {}
        if trial.phase != "explore":
            learner.restore_best()
            answers = data.family.evaluate(learner.model, data.test, data, where)
            learner.taps.clear()
            chosen = None
            if teacher_choices is not None and data.family.chosen(answers, metric) is not None:
                chosen = teacher_choices(metric)
            if where.group.rank == 0:
                labels = data.test_labels()
                endpoints = by_example(data.family, metric, answers, labels, chosen)
                scores = {
                    **scores_on_test(data, metric, answers, labels),
                    **means(endpoints, data.parts),
                }
                own = predictions_on_test(data, metric, answers, labels)
                predictions = {**own, **endpoints, **own}  # a task's own columns come first
        if where.group.rank != 0:
            continue
        if note := note_on_skipped(learner.skipped_steps, learner.steps):
            logger.warning("%s, seed %d: %s", trial.strategy, trial.seed, note)
        metrics = {
            **scores,
            f"best_select_{metric}": learner.best_score,
            "best_step": float(learner.best_step),
            "seconds": learner.seconds,
            "teacher_seconds": teacher_seconds,
            "examples_per_second": learner.examples / learner.seconds,
            "peak_memory_mb": memory.peak_mb(where.device),
        }
        with tempfile.TemporaryDirectory(prefix="raykd-student-") as folder:
            saved = save_student is not None and save_student(trial, learner.model, Path(folder))
            recorder.finish(trial, Result(metrics, predictions, Path(folder) if saved else None))
