"""How much memory a worker takes for a cohort of some size, and so how many students fit."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from raykd.config.trial import TrialSpec
from raykd.maps.activations import Activation
from raykd.models.quantization import Bits

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
class MemoryQuestion:
    """What decides a footprint, beside the teacher's configuration."""

    trial: TrialSpec
    states: tuple[Activation, ...]
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
            "states": [state.column for state in self.states],
            "task": t.task,
            "shape": asdict(t.shape),
            "map": t.layer_map.to_json(),
            "loss": [loss.kind, loss.kl > 0, loss.hidden > 0, *t.plugins],
            "weights": [t.training.weights, t.training.buffers],
            "lora": t.training.lora and asdict(t.training.lora),
            "frozen": [t.training.freeze_embeddings, t.training.frozen_projections],
        }
