"""How much memory a worker takes for a cohort of some size, and so how many students fit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from raykd.config.trial import Shape, TrialSpec
from raykd.maps.layer_map import everywhere
from raykd.models.quantization import Bits
from raykd.teachers import model_facts

if TYPE_CHECKING:
    from raykd.planning.study import Study

LARGEST_COHORT = 16
MEMORY_SHARE = 0.8  # of what a worker may use; the rest is for what no plan foresees
GPU_BYTES = 16 * 10**9  # where neither the file nor this machine says how large a GPU is
HOLES = 1.5  # of a CPU's step: the C library keeps what was freed, in pieces (benchmarks/memory.md)
RUNTIME_BYTES = 1536 * 2**20  # Ray's processes and a worker's imports, in the host's memory


@dataclass(frozen=True)
class Footprint:
    """Bytes that a worker holds in training. `student`: between its steps, its weights, the
    optimiser's moments, the best weights so far. `step`: what one step needs beside, the teacher's
    pass and its targets included; `gradients`: of another student, which wait meanwhile."""

    teacher: int
    student: int
    step: int
    gradients: int
    evaluation: int
    """What a batch of an evaluation needs beside."""

    def peak(self, students: int) -> int:
        """With so many students in the cohort."""
        step = self.step + (self.gradients if students > 1 else 0)
        return self.teacher + students * self.student + max(step, self.evaluation)

    def in_heap(self) -> Footprint:
        """On a CPU, where a step's memory is 1.2 to 2 times what lives in it."""
        step, evaluation = int(HOLES * self.step), int(HOLES * self.evaluation)
        return replace(self, step=step, evaluation=evaluation)

    def fitting(self, memory: float) -> int:
        """Students that fit; at least one, at most the largest cohort."""
        fits = (k for k in range(LARGEST_COHORT, 1, -1) if self.peak(k) <= memory)
        return next(fits, 1)


@dataclass(frozen=True)
class Load:
    """What decides a footprint, beside the teacher's configuration."""

    trial: TrialSpec
    states: tuple[int, ...]
    """Of the teacher, that the students of a cohort may name together."""
    rows: int
    """That a worker computes at a time, each of so many tokens."""
    tokens: int
    target_tokens: int | None = None
    """Of an encoder-decoder's targets."""
    writes: int | None = None
    """Tokens that an evaluation writes to a row, in so many beams; None where it only reads."""
    beams: int = 1
    bf16: bool = False
    """Whether a step runs under bf16 autocast."""
    gradient_checkpointing: bool = False
    gpu: bool = False
    bits: Bits | None = None
    """The teacher's, where it is quantised."""

    def question(self) -> dict[str, Any]:
        """In plain values, without what moves no byte."""
        t, loss = self.trial, self.trial.loss
        rest = {k: v for k, v in vars(self).items() if k != "trial"}
        return {
            **rest,
            "task": t.task,
            "shape": asdict(t.shape),
            "map": t.layer_map.to_json(),
            "loss": [loss.kind, loss.kl > 0, loss.hidden > 0],
            "weights": t.training.weights,
            "lora": t.training.lora and asdict(t.training.lora),
            "frozen": [t.training.freeze_embeddings, t.training.frozen_projections],
        }


def usable(memory: int, gpu: bool) -> int:
    """Bytes for a cohort, of so many that a worker may use: a GPU's, or of the host's memory."""
    return max(0, int(memory * MEMORY_SHARE) - (0 if gpu else RUNTIME_BYTES))


def footprint(study: Study, gpu: bool) -> Footprint:
    """Of the hidden loss that takes the most. Workers hold each other's gradients once more while
    they sum them; a control may have an untrained teacher, in fp32, beside the teacher."""
    config, labels = study.config, len(study.prepared.labels)
    found = [
        Footprint(**model_facts.footprint(study.base, load, labels, study.home))
        for load in _loads(study, gpu)
    ]
    largest = max(found, key=lambda f: f.peak(LARGEST_COHORT))
    if config.cluster.workers > 1:
        summed = largest.step + largest.gradients
        largest = replace(largest, step=summed, gradients=2 * largest.gradients)
    strategies = config.confirm.strategies if config.confirm else ()
    if any(s.targets == "untrained" for s in strategies):
        whole = Shape.of(study.base.depths)
        count = model_facts.parameters(study.base, whole, labels, study.home, config.task.kind)
        largest = replace(largest, teacher=largest.teacher + 4 * count)
    return largest if gpu else largest.in_heap()


def _loads(study: Study, gpu: bool) -> Iterator[Load]:
    """Of each hidden loss the trial that matches the most."""
    from raykd.planning.study import confirm_trials, explore_trial
    from raykd.planning.teacher_source import explored_states

    config, trials = study.config, confirm_trials(study)
    training, task, cluster = config.training, config.task, config.cluster
    named = {state for t in trials if t.seed == trials[0].seed for state in t.teacher_states}
    if config.explore is not None:
        trials = (*trials, explore_trial(study, everywhere(study.depth, 1)))
        named |= explored_states(study)
    whole = training.batch
    if training.batch_tokens is not None:
        whole = max(1, training.batch_tokens // task.max_length)
    rows = math.ceil(whole / cluster.workers)
    bf16 = training.precision == "bf16" or (training.precision == "auto" and gpu)
    for kind in dict.fromkeys(t.loss.kind for t in trials):
        alike = [t for t in trials if t.loss.kind == kind]
        largest = max(alike, key=lambda t: len(t.layer_map.pairs()))
        yield Load(
            largest,
            tuple(sorted(named)),
            min(rows, cluster.micro_batch or rows),
            task.max_length,
            task.max_target_length if task.kind == "seq2seq" else None,
            task.writes,
            task.generation.beams,
            bf16=bf16 and training.weights == "fp32",
            gradient_checkpointing=cluster.gradient_checkpointing,
            gpu=gpu,
            bits=config.teacher.bits,
        )
