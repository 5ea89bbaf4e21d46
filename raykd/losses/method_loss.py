"""A trial's hidden loss where it is a published method's: what it reads, its weights, its terms."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from raykd.config.trial import Shape, TrialSpec
from raykd.data.batches import Batch
from raykd.losses.attention import Rows
from raykd.losses.hidden import valid
from raykd.losses.methods import METHODS, MethodInputs
from raykd.maps import activations, loss_kinds
from raykd.maps.layer_map import LayerMap
from raykd.maps.loss_kinds import HEAD_BY_HEAD
from raykd.maps.published import redrawn
from raykd.models.capture import projection, stacks
from raykd.models.projections import project
from raykd.models.student import student_config, width


def misfit(teacher: PretrainedConfig, shape: Shape, kind: str) -> str | None:
    """What keeps a hidden loss of this kind from being read of such a teacher and student, in one
    line; None if nothing does. Needs the teacher's configuration alone."""
    if kind not in loss_kinds.OF_ENCODERS:
        return None
    if type(teacher) not in MODEL_FOR_MASKED_LM_MAPPING:
        return (
            f"{kind} looks at a first token and at attention that see the whole text, as an "
            f"encoder's do, and {teacher.model_type} is none; take another loss"
        )
    student = student_config(teacher, shape)
    own, told = student.num_attention_heads, teacher.num_attention_heads
    if kind in HEAD_BY_HEAD and own != told:
        return (
            f"{kind} compares attention head by head, and the student has {own} heads, the teacher "
            f"{told}; write `student.heads: {told}` or take minilm_v2"
        )
    if kind not in loss_kinds.INSIDE:
        return None
    student.num_hidden_layers = 1
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(student)
    try:
        for of in loss_kinds.INSIDE[kind]:
            if of:
                projection(stacks(model)["encoder"][0], of)
    except ValueError as error:
        return f"{kind} reads queries and keys, and {error}; take a loss that compares states"
    return None


class MethodLoss(nn.Module):
    """Its parameters are trained with the student and never exported. What is random in them
    depends on `seed` alone."""

    def __init__(
        self, trial: TrialSpec, model: PreTrainedModel, teacher_width: int, seed: int
    ) -> None:
        super().__init__()
        self._trial, self._heads = trial, int(model.config.num_attention_heads)
        self._matching = METHODS[trial.loss.kind]
        self.names = [f"hidden_{term}" for term in self._matching.terms]
        nothing = LayerMap((None,) * len(trial.layer_map.blocks))
        self.projected = trial.layer_map if self._matching.projects else nothing
        self._weights = nn.ParameterDict()
        if self._matching.weights is not None:
            generator = torch.Generator().manual_seed(seed)
            shapes = self._matching.weights(trial.layer_map, width(model), teacher_width)
            for name, shape in shapes.items():
                weight = torch.zeros(shape)
                if name != "mix":  # a mix begins with equal shares
                    nn.init.xavier_uniform_(weight, generator=generator)
                self._weights[name] = nn.Parameter(weight)

    def forward(
        self, own: Mapping[int, Tensor], told: Mapping[int, Tensor], batch: Batch,
        projections: nn.ModuleDict,
    ) -> list[Tensor]:  # fmt: skip
        """The terms. `own` holds x_BTD of the student, `told` x_ND of the teacher, by site."""
        layer_map = self._trial.layer_map
        if self._trial.loss.kind == "rail_kd":
            layer_map = redrawn(layer_map, self._trial.seed, batch.epoch)
        student = {}
        for site, x_BTD in own.items():
            x_ND = valid(x_BTD, batch.valid)
            student[site] = x_ND if activations.inside(site) else project(projections, site, x_ND)
        seen = MethodInputs(
            layer_map.pairs(), student, told, Rows.of(batch), self._heads, dict(self._weights)
        )
        return list(self._matching.loss(seen))
