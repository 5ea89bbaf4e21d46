"""The protocol through which the training loop reports its trials. tracking/ implements it with
MLflow, tests with lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from raykd.config.trial import TrialSpec

if TYPE_CHECKING:  # every command imports this module, and angles.values imports scipy
    from raykd.training.angles.values import Measured


MANY_SKIPPED = 0.1  # share of the steps; the first ones look for the scale, so a few are usual


def note_on_skipped(skipped: float, steps: int) -> str | None:
    """Return a line for a person if a training in fp16 skipped many of its steps."""
    if skipped <= MANY_SKIPPED * steps:
        return None
    return (
        f"{skipped:.0f} of {steps} steps were skipped, because gradients overflowed in fp16; "
        "write `precision: fp32`, or smaller weights of the losses"
    )


@dataclass(frozen=True)
class Result:
    """A finished trial: its scores, test predictions and student.

    `predictions` holds one row per test example (columns of equal length): `id`, `label`,
    `predicted`, `correct` and one `logit_<label>` column per class, or `score` for tasks that
    generate text; `nll`, `brier` and `agrees` (with the teacher) for tasks with probabilities of
    classes; `part` if the test split has parts. It is empty for an explored trial, which is
    never tested. `student` is a folder in transformers' format, or None if it is not kept.
    """

    metrics: Mapping[str, float]
    predictions: Mapping[str, Any]
    student: Path | None = None


class Recorder(Protocol):
    def open(self, trial: TrialSpec, facts: Mapping[str, str]) -> bool:
        """Start or resume a trial. Returns False if it is finished already and must not train."""

    def log(self, trial: TrialSpec, step: int, metrics: Mapping[str, float]) -> None:
        """Record metrics at an optimisation step (1-based)."""

    def angles(self, trial: TrialSpec, measured: Measured) -> None:
        """Record the angles of an evaluation. After an interruption it is called again for the
        same evaluation, with equal values."""

    def finish(self, trial: TrialSpec, result: Result) -> None: ...

    def fail(self, trial: TrialSpec, reason: str, traceback: str = "") -> None:
        """Record that the trial diverged or raised an exception."""

    def prune(self, trial: TrialSpec, step: int, score: float) -> None:
        """Record that the trial was dropped at a rung, at this step and select score."""

    def flush(self) -> None:
        """Block until everything recorded so far is stored."""


class Silent:
    """The recorder of every worker but the first, so that results are recorded once."""

    def open(self, trial: TrialSpec, facts: Mapping[str, str]) -> bool:
        return True

    def log(self, trial: TrialSpec, step: int, metrics: Mapping[str, float]) -> None: ...

    def angles(self, trial: TrialSpec, measured: Measured) -> None: ...

    def finish(self, trial: TrialSpec, result: Result) -> None: ...

    def fail(self, trial: TrialSpec, reason: str, traceback: str = "") -> None: ...

    def prune(self, trial: TrialSpec, step: int, score: float) -> None: ...

    def flush(self) -> None: ...


@dataclass
class Memory:
    """A recorder that keeps everything in lists, by trial id."""

    opened: dict[str, dict[str, str]] = field(default_factory=dict)
    metrics: dict[str, list[tuple[int, dict[str, float]]]] = field(default_factory=dict)
    measured: dict[str, dict[int, Measured]] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    pruned: dict[str, tuple[int, float]] = field(default_factory=dict)

    def open(self, trial: TrialSpec, facts: Mapping[str, str]) -> bool:
        self.opened[trial.id] = dict(facts)
        return trial.id not in self.results and trial.id not in self.pruned

    def log(self, trial: TrialSpec, step: int, metrics: Mapping[str, float]) -> None:
        self.metrics.setdefault(trial.id, []).append((step, dict(metrics)))

    def angles(self, trial: TrialSpec, measured: Measured) -> None:
        self.measured.setdefault(trial.id, {})[measured.step] = measured

    def finish(self, trial: TrialSpec, result: Result) -> None:
        self.results[trial.id] = result

    def fail(self, trial: TrialSpec, reason: str, traceback: str = "") -> None:
        self.failures[trial.id] = reason

    def prune(self, trial: TrialSpec, step: int, score: float) -> None:
        self.pruned[trial.id] = (step, score)

    def flush(self) -> None: ...
