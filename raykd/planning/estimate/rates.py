"""How fast a study trains on a device: measured by a few real steps and kept, or roughly known."""

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

IMPORT_SECONDS = 8.0  # of torch and transformers, where two processes share two cores
WRITING = 20.0  # how much longer it takes to write a text than to read one, roughly


@dataclass(frozen=True)
class Rates:
    """Seconds of one worker beside its neighbours, with its share of a batch."""

    load: float
    """Until data and teacher are in its memory, from the start of its process."""
    build: float
    """A student."""
    step: float
    """One optimisation step of one student."""
    teacher: float
    """The teacher's pass over one batch."""
    evaluate: float
    """A student on one row of select or test."""
    look: float
    """At one student's angles, where the file asks for them."""
    low: float = 1 / 3
    high: float = 3.0
    """The quickest and the slowest that was seen, as shares of the mean. Arithmetic alone says no
    more of a device than this."""
    measured: bool = False

    def slower(self, times: float) -> Rates:
        """So many times as slow in all it computes."""
        return replace(self, **{k: times * getattr(self, k) for k in MEANS if k != "load"})


@dataclass(frozen=True)
class TeacherRates:
    """Seconds of fine-tuning the teacher in one process, with all of its machine."""

    load: float
    step: float
    evaluate: float
    measured: bool = False

    def slower(self, times: float) -> TeacherRates:
        return replace(self, step=times * self.step, evaluate=times * self.evaluate)


@dataclass(frozen=True)
class TimingRequest:
    """What is to be measured, in plain values: they travel to other processes and machines.

    `fine_tuned`: the sources name the teacher itself, and not the model that it is made of.
    """

    sources: TrainingInputs
    trial: TrialSpec
    fine_tuned: bool
    workers: int
    threads: int
    gpu: bool
    execution: ExecutionSettings

    def question(self, device: str, neighbours: int) -> list[object]:
        """All that the answer depends on: device, model shapes, rows and batches."""
        t, loss = self.trial.to_json(), self.trial.loss
        sizes = {k: v for k, v in t["training"].items() if k not in NOT_SIZES}
        execution = asdict(self.execution).values()
        where = [device, self.workers, self.threads, neighbours, *execution]
        # A teacher has the shape of its base, so what was measured of either holds for both.
        return [
            "rates",
            *where,
            t["data"],
            t["shape"],
            sizes,
            loss.kind,
            self.sources.angles,
            *self.trial.plugins,
        ]


NOT_SIZES = ("steps", "lr", "warmup", "weight_decay", "clip", "evaluations", "diverged", "patience")


def student_request(made: Plan, teacher: Path | None, workers: int, threads: int) -> TimingRequest:
    """A student that matches as much as any of the plan's; `teacher`: its folder, once made."""
    study, cluster = made.study, made.study.config.cluster
    trial = max(made.confirm, key=lambda t: len(t.layer_map.pairs()), default=None)
    if trial is None:
        assert made.space is not None
        trial = explore_trial(study, made.space.unseen((), 1, Random(0))[0])
    return TimingRequest(
        training_inputs(study, teacher or study.base.folder), trial, teacher is not None, workers,
        threads, made.power.gpus > 0, cluster.execution,
    )  # fmt: skip


def teacher_request(made: Plan, threads: int, gpu: bool) -> TimingRequest:
    study, cluster = made.study, made.study.config.cluster
    trial = teacher_trial(study)
    sources, t = training_inputs(study, study.base.folder), trial.training
    sources = replace(sources, weights=t.weights, buffers=t.buffers)
    return TimingRequest(
        sources, trial, False, 1, threads, gpu, replace(cluster.execution, compile=False)
    )


def rough_rates(made: Plan) -> Rates:
    """By arithmetic: six operations a parameter and token forward and backward, two forward."""
    study, power = made.study, made.power
    own = _blocks(made, study.depth, study.shape.width or study.base.width)
    theirs = _blocks(made, study.base.depths, study.base.width)
    tokens, flops = study.batch_rows * study.mean_tokens, power.flops
    task = study.config.task
    writes = WRITING if task.writes is not None else 1.0
    return Rates(
        load=IMPORT_SECONDS + 4 * theirs / DISK_BYTES,
        build=8 * own / DISK_BYTES,
        step=6 * own * tokens / flops,
        teacher=2 * theirs * tokens / flops,
        evaluate=2 * own * study.mean_tokens * writes / flops,
        look=(study.config.angle_rows or 0) * study.mean_tokens * 4 * (own + theirs) / flops,
    )


def rough_teacher_rates(made: Plan, threads: int, gpu: bool) -> TeacherRates:
    study, flops = made.study, GPU_FLOPS if gpu else CPU_FLOPS * threads
    theirs = _blocks(made, study.base.depths, study.base.width)
    tokens = study.config.teacher.batch * study.mean_tokens
    return TeacherRates(
        IMPORT_SECONDS, 6 * theirs * tokens / flops, 2 * theirs * study.mean_tokens / flops
    )


def _blocks(made: Plan, depth: Depth, width: int) -> float:
    """Parameters of a model's blocks."""
    return float(sum(depth.stacks) * 12 * width**2)


def known(home: Path, order: TimingRequest, device: str, neighbours: int) -> Any:
    """What was measured before, as plain values; None before the first time."""
    return lookup(home, order.question(device, neighbours))


def keep(home: Path, order: TimingRequest, device: str, neighbours: int, rates: Any) -> None:
    memoised(home, order.question(device, neighbours), lambda: asdict(rates))


# Measuring, in processes of their own: what trains is imported there


MEANS = ("load", "build", "step", "teacher", "evaluate", "look")
