"""A resolved sweep file: its settings with data and teacher."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from raykd.config.sweep import SweepConfig
from raykd.config.trial import Shape, TrialSpec
from raykd.data.labels import class_weights
from raykd.data.prepared import Prepared
from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap
from raykd.planning.blocks import student_depth
from raykd.runtime.plugins import Plugin
from raykd.teachers import model_facts

DEFAULT_EPOCHS = 3.0


@dataclass(frozen=True)
class Study:
    """A resolved sweep: the file's choices, the data, the teacher's base and name."""

    config: SweepConfig
    file: str
    home: Path
    prepared: Prepared
    base: model_facts.Base
    teacher: str
    data: str
    plugins: tuple[Plugin, ...] = ()
    """Plug-ins that the file names, already imported."""

    @property
    def steps(self) -> int:
        """Optimisation steps of a full-length training."""
        training = self.config.training
        if training.steps:
            return training.steps
        epochs, rows = training.epochs or DEFAULT_EPOCHS, self.prepared.counts["train"]
        return math.ceil(epochs * math.ceil(rows / self.batch_rows))

    @property
    def batch_rows(self) -> float:
        """Rows of a global batch; with a token budget, roughly their mean."""
        training = self.config.training
        if training.batch_tokens is None:
            return training.batch
        return max(1.0, training.batch_tokens / self.mean_tokens)

    @property
    def mean_tokens(self) -> float:
        """Rough mean length of a training row in tokens: word pieces and special tokens."""
        return min(self.prepared.mean_words * 1.3 + 2, self.config.task.max_length)

    @cached_property
    def designs(self) -> dict[tuple[LayerMap, ...], tuple[TrialSpec, ...]]:
        """Cache of `confirm_trials` by the best maps, as thousands of trial ids take a while."""
        return {}

    @cached_property
    def class_weights(self) -> tuple[tuple[str, float], ...] | None:
        """Weight of each class in the cross entropy, by label; None if they are equal."""
        rows = self.prepared.report.classes.get("train", {})
        weights = class_weights(self.config.task, rows)
        return None if weights is None else tuple(weights.items())

    @property
    def hidden_weights(self) -> tuple[float, ...]:
        """Hidden weights of confirm's strategies."""
        stated = self.config.confirm.hidden_weights if self.config.confirm else None
        return stated or (self.config.losses.hidden,)

    @cached_property
    def shape(self) -> Shape:
        stated = self.config.student
        depth = student_depth(stated.blocks, self.base.depths, self.file)
        return replace(Shape.of(depth), **stated.model_dump(exclude={"blocks", "projections"}))

    @cached_property
    def student_parameters(self) -> int:
        return self._parameters(self.shape)

    @cached_property
    def teacher_parameters(self) -> int:
        return self._parameters(Shape.of(self.base.depths))

    def _parameters(self, shape: Shape) -> int:
        labels, kind = len(self.prepared.labels), self.config.task.kind
        return model_facts.parameters(self.base, shape, labels, self.home, kind)

    @property
    def depth(self) -> Depth:
        """Depth of the student, of both stacks if it has two."""
        return self.shape.depth
