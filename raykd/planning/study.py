"""A sweep file met with its data and its teacher."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from raykd.config.sweep import SweepConfig
from raykd.config.trial import Shape, TrialSpec
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
    """Those that the file names; they are imported."""

    @property
    def steps(self) -> int:
        """Optimisation steps of a full-length training."""
        t = self.config.training
        if t.steps:
            return t.steps
        epochs, rows = t.epochs or DEFAULT_EPOCHS, self.prepared.counts["train"]
        return math.ceil(epochs * math.ceil(rows / self.batch_rows))

    @property
    def batch_rows(self) -> float:
        """Rows of a global batch; under a token budget the mean, roughly."""
        t = self.config.training
        return t.batch if t.batch_tokens is None else max(1.0, t.batch_tokens / self.mean_tokens)

    @property
    def mean_tokens(self) -> float:
        """Of a training row, roughly: word pieces and the special tokens."""
        return min(self.prepared.mean_words * 1.3 + 2, self.config.task.max_length)

    @cached_property
    def designs(self) -> dict[tuple[LayerMap, ...], tuple[TrialSpec, ...]]:
        """`confirm_trials` by the best maps, kept: with their ids, thousands take a while."""
        return {}

    @property
    def hidden_weights(self) -> tuple[float, ...]:
        """Those under which confirm's strategies are tried."""
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
        """The student's, of both stacks where there are two."""
        return self.shape.depth
