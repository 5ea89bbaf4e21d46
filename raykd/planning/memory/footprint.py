"""The memory of a worker by the size of its cohort, and how many students fit."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from raykd.config.trial import TrialSpec
from raykd.maps.activations import Activation
from raykd.models.quantization import Bits

LARGEST_COHORT = 16
MEMORY_SHARE = 0.8  # of what a worker may use; the rest is a reserve
GPU_BYTES = 16 * 10**9  # if neither the file nor this machine tells the size of a GPU
HOLES = 1.5  # factor on a CPU: the C library keeps freed memory in pieces (benchmarks/memory.md)
RUNTIME_BYTES = 1536 * 2**20  # Ray's processes and a worker's imports, in the host's memory


@dataclass(frozen=True)
class Footprint:
    """Bytes that a worker holds in training. `student`: the weights of a student, the optimiser's
    moments and the best weights so far, between steps. `step`: additional bytes of one step, with
    the teacher's pass and its targets. `gradients`: those of another student, which wait."""

    teacher: int
    student: int
    step: int
    gradients: int
    evaluation: int
    """Additional bytes of a batch of an evaluation."""

    def peak(self, students: int) -> int:
        """Return the peak of a cohort with this number of students."""
        step = self.step + (self.gradients if students > 1 else 0)
        return self.teacher + students * self.student + max(step, self.evaluation)

    def in_heap(self) -> Footprint:
        """Return the footprint on a CPU, where a step takes 1.2 to 2 times its live storages."""
        step, evaluation = int(HOLES * self.step), int(HOLES * self.evaluation)
        return replace(self, step=step, evaluation=evaluation)

    def fitting(self, memory: float) -> int:
        """Return how many students fit: at least one, at most the largest cohort."""
        fits = (k for k in range(LARGEST_COHORT, 1, -1) if self.peak(k) <= memory)
        return next(fits, 1)


@dataclass(frozen=True)
class MemoryQuestion:
    """Everything a footprint depends on, except the configuration of the teacher."""

    trial: TrialSpec
    states: tuple[Activation, ...]
    """Teacher states that the students of a cohort may match, all together."""
    rows: int
    """Rows of a worker's micro-batch, each of `tokens` tokens."""
    tokens: int
    target_tokens: int | None = None
    """Tokens of a target of an encoder-decoder."""
    writes: int | None = None
    """Tokens that an evaluation generates per row, in `beams` beams; None if it generates none."""
    beams: int = 1
    bf16: bool = False
    """Whether a step runs under autocast to bf16, or to fp16, which takes the same memory."""
    gradient_checkpointing: bool = False
    gpu: bool = False
    bits: Bits | None = None
    """Bits of a quantised teacher."""

    def question(self) -> dict[str, Any]:
        """Return the memo key: plain values, without those that do not change the memory."""
        trial, loss = self.trial, self.trial.loss
        settings = {k: v for k, v in vars(self).items() if k != "trial"}
        return {
            **settings,
            "states": [state.column for state in self.states],
            "task": trial.task,
            "shape": asdict(trial.shape),
            "map": trial.layer_map.to_json(),
            "loss": [loss.kind, loss.kl > 0, loss.hidden > 0, *trial.plugins],
            "weights": [trial.training.weights, trial.training.buffers],
            "lora": trial.training.lora and asdict(trial.training.lora),
            "frozen": [trial.training.freeze_embeddings, trial.training.frozen_projections],
        }
