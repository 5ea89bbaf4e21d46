"""The hidden loss of a trial with a published method: its activations, weights and terms."""

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
    """Why a hidden loss of this kind cannot be computed for such a teacher and student, in one
    line; None if it can. Needs only the configuration of the teacher."""
    if kind not in loss_kinds.OF_ENCODERS:
        return None
    if type(teacher) not in MODEL_FOR_MASKED_LM_MAPPING:
        return (
            f"{kind} looks at a first token and at attention that see the whole text, as an "
            f"encoder's do, and {teacher.model_type} is none; take another loss"
        )
    student = student_config(teacher, shape)
    student_heads, teacher_heads = student.num_attention_heads, teacher.num_attention_heads
    if kind in HEAD_BY_HEAD and student_heads != teacher_heads:
        return (
            f"{kind} compares attention head by head, and the student has {student_heads} heads, "
            f"the teacher {teacher_heads}; write `student.heads: {teacher_heads}` or take minilm_v2"
        )
    if kind not in loss_kinds.INSIDE:
        return None
    student.num_hidden_layers = 1
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(student)
    try:
        for offset in loss_kinds.INSIDE[kind]:
            if offset:
                projection(stacks(model)["encoder"][0], offset)
    except ValueError as error:
        return f"{kind} reads queries and keys, and {error}; take a loss that compares states"
    return None


class MethodLoss(nn.Module):
    """Its parameters are trained with the student and never exported. Random values depend on
    `seed` alone."""

    def __init__(
        self, trial: TrialSpec, model: PreTrainedModel, teacher_width: int, seed: int
    ) -> None:
        super().__init__()
        self._trial, self._heads = trial, int(model.config.num_attention_heads)
        self._method = METHODS[trial.loss.kind]
        self.names = [f"hidden_{term}" for term in self._method.terms]
        nothing = LayerMap((None,) * len(trial.layer_map.blocks))
        self.projected = trial.layer_map if self._method.projects else nothing
        self._weights = nn.ParameterDict()
        if self._method.weights is not None:
            generator = torch.Generator().manual_seed(seed)
            shapes = self._method.weights(trial.layer_map, width(model), teacher_width)
            for name, shape in shapes.items():
                weight = torch.zeros(shape)
                if name != "mix":  # a mix begins with equal shares
                    nn.init.xavier_uniform_(weight, generator=generator)
                self._weights[name] = nn.Parameter(weight)

    def forward(
        self, states_BTD: Mapping[int, Tensor], targets_ND: Mapping[int, Tensor],
        batch: Batch, projections: nn.ModuleDict,
    ) -> list[Tensor]:  # fmt: skip
        """The terms. `states_BTD` are the states of the student, `targets_ND` those of the teacher,
        by site."""
        layer_map = self._trial.layer_map
        if self._trial.loss.kind == "rail_kd":
            layer_map = redrawn(layer_map, self._trial.seed, batch.epoch)
        states_ND = {}
        for site, x_BTD in states_BTD.items():
            x_ND = valid(x_BTD, batch.valid)
            states_ND[site] = x_ND if activations.inside(site) else project(projections, site, x_ND)
        inputs = MethodInputs(
            layer_map.pairs(),
            states_ND,
            targets_ND,
            Rows.of(batch),
            self._heads,
            dict(self._weights),
        )
        return list(self._method.loss(inputs))
