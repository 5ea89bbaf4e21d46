"""A mix of teacher blocks with trained weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raykd.losses.hidden.registry import TrainedWeight, register_hidden_loss

if TYPE_CHECKING:
    from raykd.losses.hidden.inputs import HiddenInputs, Terms
    from raykd.maps.layer_map import LayerMap

# Adam changes a parameter by about the learning rate at each step, whatever the gradient: at 1e-4
# the mixing weights would hardly change in ten thousand steps.
MIX_SCALE = 100.0


def _weights(
    layer_map: LayerMap, student_width: int, teacher_width: int
) -> dict[str, TrainedWeight]:
    teacher_blocks = {t for s, t in layer_map.pairs() if s.block}
    # All shares are equal at the start.
    return {"mix": TrainedWeight((len(layer_map.blocks), len(teacher_blocks)), zeros=True)}


@register_hidden_loss(
    form="blocks",
    terms=("states",),
    any_map=False,
    weights=_weights,
)
def learned_mix(inputs: HiddenInputs) -> Terms:
    """A student block imitates a mix of the teacher blocks with trained weights, one softmax for
    each student block and the same for every token: squared error, mean over valid tokens, width
    and blocks. The mix is that of Peters et al. (2018, arXiv 1802.05365, equation 1)."""
    import torch
    from torch import Tensor

    from raykd.losses.hidden.kinds.squared_error import mse

    shares_ST = torch.softmax(MIX_SCALE * inputs.weights["mix"], -1)
    losses = []
    for shares_T, (s, targets) in zip(shares_ST, inputs.targets.items(), strict=True):
        mixed_ND = sum(
            share * inputs.teacher[t].float() for share, t in zip(shares_T, targets, strict=True)
        )
        assert isinstance(mixed_ND, Tensor)
        losses.append(mse(inputs.student[s], mixed_ND, inputs.rows.tokens, inputs.rows.examples))
    return (torch.stack(losses).mean(),)
