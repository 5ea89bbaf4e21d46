"""What the training loop tells of its trials, and to whom. The core knows only this protocol;
tracking/ writes to MLflow, tests keep a list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from raykd.config.trial import TrialSpec

if TYPE_CHECKING:  # every command imports this module, and that one brings scipy's statistics
    from raykd.training.angle_values import Measured


@dataclass(frozen=True)
class Result:
    """A finished trial: its scores and what is kept of it.

    `predictions` holds one row per test example (columns of equal length): `id`, `label`,
    `predicted`, `correct` and one `logit_<label>` column a class, or a `score` where texts are
    written; `part` where test has parts. It is empty for an explored trial, which never meets
    test. `student` is a folder in transformers' format, where the
    student is kept.
    """

    metrics: Mapping[str, float]
    predictions: Mapping[str, Any]
    student: Path | None = None


class Recorder(Protocol):
    def open(self, trial: TrialSpec, facts: Mapping[str, str]) -> bool:
        """Begin or go on with a trial. False where it is finished already: do not train it."""

    def log(self, trial: TrialSpec, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics at an optimisation step (1-based)."""

    def angles(self, trial: TrialSpec, measured: Measured) -> None:
        """What was measured at an evaluation; told again after an interruption, with the same
        result."""

    def finish(self, trial: TrialSpec, result: Result) -> None: ...

    def fail(self, trial: TrialSpec, reason: str, traceback: str = "") -> None:
        """The trial ended for a reason of its own (diverged), or in an exception."""

    def prune(self, trial: TrialSpec, step: int, score: float) -> None:
        """The trial was dropped at a rung, at this step and select score."""

    def flush(self) -> None:
        """Return when all that was told is stored."""


class Silent:
    """The recorder of every worker but the first: results are told once."""

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
