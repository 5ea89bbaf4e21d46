"""The training speed of a study on a device: measured by a few real steps and cached, or rough."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from raykd.config.trial import TrialSpec
from raykd.maps.depth import Depth
from raykd.planning.plan import Plan
from raykd.planning.teacher_source import CPU_FLOPS, DISK_BYTES, GPU_FLOPS, training_inputs
from raykd.planning.teacher_trial import teacher_trial
from raykd.planning.trials import explore_trial
from raykd.runtime.execution_settings import ExecutionSettings
from raykd.runtime.memo import lookup, memoised
from raykd.training.inputs import TrainingInputs

IMPORT_SECONDS = 8.0  # torch and transformers, if two processes share two cores
WRITING = 20.0  # rough factor: generating a text takes so much longer than reading one


@dataclass(frozen=True)
class Rates:
    """Seconds of one worker, with its share of a batch, while its neighbours run."""

    load: float
    """From the start of the process until data and teacher are in memory."""
    build: float
    """To build one student."""
    step: float
    """One optimisation step of one student."""
    teacher: float
    """The teacher's pass over one batch."""
    evaluate: float
    """To evaluate a student on one row of select or test."""
    look: float
    """To measure the angles of one student, if the file asks for them."""
    low: float = 1 / 3
    high: float = 3.0
    """Fastest and slowest measurement, as shares of the mean. The defaults are the uncertainty of
    rates by arithmetic alone."""
    measured: bool = False

    def slower(self, times: float) -> Rates:
        """Return rates with all computation slower by the factor `times`."""
        return replace(self, **{k: times * getattr(self, k) for k in MEANS if k != "load"})


@dataclass(frozen=True)
class TeacherRates:
    """Seconds of fine-tuning the teacher in one process that has the whole machine."""

    load: float
    step: float
    evaluate: float
    measured: bool = False

    def slower(self, times: float) -> TeacherRates:
        return replace(self, step=times * self.step, evaluate=times * self.evaluate)


@dataclass(frozen=True)
class TimingRequest:
    """What to measure, in plain values, which are sent to other processes and machines.

    `fine_tuned`: whether the sources name the teacher itself, not the model it is fine-tuned from.
    """

    sources: TrainingInputs
    trial: TrialSpec
    fine_tuned: bool
    workers: int
    threads: int
    gpu: bool
    execution: ExecutionSettings

    def question(self, device: str, neighbours: int) -> list[object]:
        """Return the memo key of the rates: device, model shapes, rows and batches."""
        trial, loss = self.trial.to_json(), self.trial.loss
        sizes = {k: v for k, v in trial["training"].items() if k not in NOT_SIZES}
        execution = asdict(self.execution).values()
        device_key = [device, self.workers, self.threads, neighbours, *execution]
        # A teacher has the shape of its base model, so a measurement of one holds for the other.
        return [
            "rates",
            *device_key,
            trial["data"],
            trial["shape"],
            sizes,
            loss.kind,
            self.sources.angles,
            *self.trial.plugins,
        ]


NOT_SIZES = ("steps", "lr", "warmup", "weight_decay", "clip", "evaluations", "diverged", "patience")


def student_request(plan: Plan, teacher: Path | None, workers: int, threads: int) -> TimingRequest:
    """Return the request for the student with the most matched pairs of the plan. `teacher`: folder
    of the finished teacher, or None."""
    study, cluster = plan.study, plan.study.config.cluster
    trial = max(plan.confirm, key=lambda t: len(t.layer_map.pairs()), default=None)
    if trial is None:
        assert plan.space is not None
        trial = explore_trial(study, plan.space.unseen((), 1, Random(0))[0])
    # A step with every term, the slowest of a schedule.
    trial = replace(trial, loss=replace(trial.loss, schedule=None))
    return TimingRequest(
        training_inputs(study, teacher or study.base.folder), trial, teacher is not None, workers,
        threads, plan.power.gpus > 0, cluster.execution,
    )  # fmt: skip


def teacher_request(plan: Plan, threads: int, gpu: bool) -> TimingRequest:
    study, cluster = plan.study, plan.study.config.cluster
    trial = teacher_trial(study)
    sources, training = training_inputs(study, study.base.folder), trial.training
    sources = replace(sources, weights=training.weights, buffers=training.buffers)
    return TimingRequest(
        sources, trial, False, 1, threads, gpu, replace(cluster.execution, compile=False)
    )


def rough_rates(plan: Plan) -> Rates:
    """Return rates by arithmetic: six operations per parameter and token for a training step, two
    for a forward pass."""
    study, power = plan.study, plan.power
    student_parameters = _block_parameters(plan, study.depth, study.shape.width or study.base.width)
    teacher_parameters = _block_parameters(plan, study.base.depths, study.base.width)
    tokens, flops = study.batch_rows * study.mean_tokens, power.flops
    angle_tokens = (study.config.angle_rows or 0) * study.mean_tokens
    task = study.config.task
    writes = WRITING if task.writes is not None else 1.0
    return Rates(
        load=IMPORT_SECONDS + 4 * teacher_parameters / DISK_BYTES,
        build=8 * student_parameters / DISK_BYTES,
        step=6 * student_parameters * tokens / flops,
        teacher=2 * teacher_parameters * tokens / flops,
        evaluate=2 * student_parameters * study.mean_tokens * writes / flops,
        look=angle_tokens * 4 * (student_parameters + teacher_parameters) / flops,
    )


def rough_teacher_rates(plan: Plan, threads: int, gpu: bool) -> TeacherRates:
    study, flops = plan.study, GPU_FLOPS if gpu else CPU_FLOPS * threads
    parameters = _block_parameters(plan, study.base.depths, study.base.width)
    tokens = study.config.teacher.batch * study.mean_tokens
    return TeacherRates(
        IMPORT_SECONDS, 6 * parameters * tokens / flops, 2 * parameters * study.mean_tokens / flops
    )


def _block_parameters(plan: Plan, depth: Depth, width: int) -> float:
    """Return the number of parameters in the blocks of a model."""
    return float(sum(depth.stacks) * 12 * width**2)


def known(home: Path, request: TimingRequest, device: str, neighbours: int) -> Any:
    """Return the cached rates as plain values; None if they were not measured yet."""
    return lookup(home, request.question(device, neighbours))


def keep(home: Path, request: TimingRequest, device: str, neighbours: int, rates: Any) -> None:
    memoised(home, request.question(device, neighbours), lambda: asdict(rates))


MEANS = ("load", "build", "step", "teacher", "evaluate", "look")
