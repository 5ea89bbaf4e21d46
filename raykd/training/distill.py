"""distill(): a cohort of students under one teacher pass per batch.

The same loop runs in one process and inside a data-parallel group; fine-tuning the teacher is
this loop too, with one "student" and no teacher. It knows neither Ray nor MLflow: whom to tell,
where to checkpoint and which workers there are is handed in.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from raykd.config.cohort import Cohort
from raykd.config.trial import TrialSpec
from raykd.data.batches import Step, by_epoch, prefetch, shard
from raykd.models.embedding_rows import tokens_in
from raykd.runtime import memory
from raykd.runtime.execution import Execution
from raykd.runtime.seeds import stream
from raykd.search.halving import SuccessiveHalving
from raykd.tasks.evaluation import predictions_on_test, scores_on_test
from raykd.tasks.family import Data
from raykd.teachers.controls import Controls, by_kind
from raykd.teachers.targets import Part, TeacherSource
from raykd.training.early_stopping import marks, stalled
from raykd.training.hooks import Hooks, NoHooks, TeacherTiming
from raykd.training.learner import Learner
from raykd.training.recorder import Recorder, Result, Silent
from raykd.training.step import optimize, with_targets

TICKS = 10  # how often in a training the losses are looked at, logged and checked


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
    controls: Controls | None = None,
) -> None:
    """Train the cohort's students, evaluate, and tell `recorder`.

    `build` yields a trial's untrained student; `resume` is a state that `hooks.checkpoint`
    stored; `save_student` may write a finished student into a folder and says whether it did;
    `rungs` say when the worst students are dropped; `probe` may study the students at evaluations,
    with the step and the recorder, and leaves them as they are; `controls` make the targets of
    trials that are some.
    """
    where, hooks = where or Execution(), hooks or NoHooks()
    recorder = recorder if where.group.rank == 0 else Silent()
    learners = _learners(cohort, data, build, teacher_width, recorder, where, facts or {})
    if not learners:
        return
    start = 0 if resume is None else int(resume["step"])
    if resume is not None:
        for learner in learners:
            learner.load(resume["students"][learner.trial.id])

    plan, seed = cohort.trials[0].training, stream(cohort.trials[0].seed, "order")
    ticks, evaluations = marks(plan.steps, TICKS), marks(plan.steps, plan.evaluations)
    drops = rungs.steps(plan.steps) if rungs is not None and len(cohort.trials) > 1 else {}
    source = teacher.name if teacher else None
    teacher_seconds, rows, examples, scores = 0.0, 0, 0, dict[str, float]()
    order = by_epoch(data.train.lengths, plan.batch, seed, start, plan.batch_tokens)
    steps = islice(order, plan.steps - start)
    feed = prefetch(steps, lambda step: _feed(data, step, where, teacher))
    for done, parts in enumerate(feed, start + 1):
        alive = [x for x in learners if x.training and not stalled(x, done - 1, data)]
        if not alive:
            break
        rows += parts[0][0].examples
        examples += parts[0][0].examples * len(alive)
        began = time.perf_counter()
        ready = with_targets(teacher, parts, where, cohort.trials[0].seed, done - 1)
        targets = by_kind({x.trial.targets for x in alive}, ready, controls, done - 1)
        teacher_seconds += time.perf_counter() - began
        optimize(alive, targets, done - 1)

        if not (done in ticks or done in evaluations or done in drops):
            continue
        _log_losses(alive, done, recorder)
        if done in evaluations or done in drops:
            found = {x.trial.id: _select_score(x, data, where) for x in alive if x.training}
            _log_scores(alive, found, done, recorder, consider=done in evaluations)
            if rungs is not None and done in drops:
                _drop(alive, rungs.losers(found, len(cohort.trials), drops[done]), found, recorder)
            scores |= found
        if done in evaluations and probe is not None:
            probe([x for x in alive if x.training], done, recorder)
        if done in evaluations:
            hooks.checkpoint(done, lambda at=done: _state(at, learners, source))  # type: ignore[misc]
        hooks.progress(done, examples, scores, TeacherTiming(source, teacher_seconds, rows))
        examples = 0

    share = teacher_seconds / max(1, len(learners))
    _finish([x for x in learners if not x.pruned], data, where, recorder, save_student, share)


def _learners(
    cohort: Cohort, data: Data, build: Callable[[TrialSpec], PreTrainedModel], teacher_width: int,
    recorder: Recorder, where: Execution, facts: Mapping[str, str],
) -> list[Learner]:  # fmt: skip
    """A learner for each trial that is not over already; every worker gets the same ones."""
    group = where.group
    used = tokens_in(data.train.input_ids, data.pad)
    how = (data.family, teacher_width, group, where.device, where.autocast(), where.compile, used)
    told = [recorder.open(t, facts) for t in cohort.trials] if group.rank == 0 else None
    opened: list[bool] = group.gather(told)[0]  # type: ignore[assignment]
    return [
        Learner(t, build(t), *how)
        for t, is_open in zip(cohort.trials, opened, strict=True)
        if is_open
    ]  # fmt: skip


def _log_losses(alive: list[Learner], done: int, recorder: Recorder) -> None:
    """Mean losses since the last look; who has diverged leaves here."""
    for learner in alive:
        recorder.log(learner.trial, done, learner.running_losses(done))
        if learner.failure is not None:
            recorder.fail(learner.trial, learner.failure)


def _log_scores(
    alive: list[Learner], found: Mapping[str, float], done: int, recorder: Recorder, consider: bool
) -> None:
    for learner in (x for x in alive if x.trial.id in found):
        score = found[learner.trial.id]
        recorder.log(learner.trial, done, {f"select_{learner.trial.metric}": score})
        if consider:  # a rung's score decides who leaves, and nothing of who stays
            learner.keep_best(score, done)


def _drop(
    alive: list[Learner], losers: list[str], scores: Mapping[str, float], recorder: Recorder
) -> None:
    for learner in alive:
        if learner.trial.id in losers:
            learner.prune()
            recorder.prune(learner.trial, learner.steps, scores[learner.trial.id])


def _feed(data: Data, step: Step, where: Execution, teacher: TeacherSource | None) -> list[Part]:
    """This worker's share of a global batch, in parts that fit it, and what the teacher said of
    each before."""
    epoch, rows = step
    mine, parts = shard(rows, where.group.rank, where.group.world), []
    size = where.micro_batch or max(1, len(mine))
    for i in range(0, max(1, len(mine)), size):
        batch = data.family.collate(data.train, mine[i : i + size], data.pad, rows)
        stored = teacher.prefetch(batch) if teacher is not None and len(mine) else None
        parts.append((replace(batch, epoch=epoch).pinned(where.device), stored))
    return parts


def _state(step: int, learners: list[Learner], source: str | None) -> dict[str, Any]:
    students = {x.trial.id: x.state() for x in learners}
    return {"step": step, "source": source, "students": students}


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
) -> None:
    """Training has ended: the best confirmed student by select meets the test split, once. An
    explored one never does: its map was tried in order to be chosen."""
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
            if where.group.rank == 0:
                labels = data.test_labels()
                scores = scores_on_test(data, metric, answers, labels)
                predictions = predictions_on_test(data, metric, answers, labels)
        if where.group.rank != 0:
            continue
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
            kept = save_student is not None and save_student(trial, learner.model, Path(folder))
            recorder.finish(trial, Result(metrics, predictions, Path(folder) if kept else None))
