"""Patient knowledge distillation (PKD)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raykd.losses.hidden.registry import register_hidden_loss

if TYPE_CHECKING:
    from raykd.losses.hidden.inputs import HiddenInputs, Terms


@register_hidden_loss(
    form="blocks",
    terms=("states",),
    encoder_only=True,
)
def pkd(inputs: HiddenInputs) -> Terms:
    """|| s / |s| - t / |t| ||^2 of the first token ([CLS]), mean over examples and blocks (Sun et
    al. 2019, arXiv 1908.09355, equation 7). The released code divides by the width too."""
    import torch
    import torch.nn.functional as F

    losses = []
    for s, t in inputs.pairs:
        student, teacher = (
            F.normalize(inputs.rows.first(x).float(), dim=-1)
            for x in (inputs.student[s], inputs.teacher[t])
        )
        losses.append(inputs.share((student - teacher).square().sum(-1)))
    return (torch.stack(losses).mean(),)
