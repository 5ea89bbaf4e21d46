"""RAIL-KD: states of teacher blocks that are drawn anew in each epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raykd.losses.hidden.registry import TrainedWeight, register_hidden_loss
from raykd.maps.published import redrawn

if TYPE_CHECKING:
    from raykd.losses.hidden.inputs import HiddenInputs, Terms
    from raykd.maps.layer_map import LayerMap

RAIL_WIDTH = 128  # width of the space in which RAIL-KD compares; the paper does not state it


def _weights(
    layer_map: LayerMap, student_width: int, teacher_width: int
) -> dict[str, TrainedWeight]:
    blocks = sum(block is not None for block in layer_map.blocks)
    return {
        "student": TrainedWeight((RAIL_WIDTH, blocks * student_width)),
        "teacher": TrainedWeight((RAIL_WIDTH, blocks * teacher_width)),
    }


@register_hidden_loss(
    form="blocks",
    terms=("states",),
    any_map=False,
    projects=False,
    weights=_weights,
    map_of_epoch=redrawn,
)
def rail_kd(inputs: HiddenInputs) -> Terms:
    """States averaged over the tokens of an example, concatenated over the blocks of the epoch,
    projected by one trained matrix for each model and normalised to length one: squared distance,
    mean over examples (RAIL-KD^c, Haidar et al. 2022, arXiv 2109.10164, section 3)."""
    import torch
    import torch.nn.functional as F

    joined = (
        torch.cat([inputs.rows.mean(vectors[k].float()) for k in blocks], -1)
        for vectors, blocks in ((inputs.student, [s for s, _ in inputs.blocks]),
                           (inputs.teacher, [t for _, t in inputs.blocks]))
    )  # fmt: skip
    student, teacher = (
        F.normalize(x_BK @ inputs.weights[model].T, dim=-1)
        for x_BK, model in zip(joined, ("student", "teacher"), strict=True)
    )
    return (inputs.share((student - teacher).square().sum(-1)),)
