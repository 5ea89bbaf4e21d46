"""ALP-KD: a mix of teacher blocks, weighted by their similarity to the student."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raykd.losses.hidden.registry import register_hidden_loss

if TYPE_CHECKING:
    from raykd.losses.hidden.inputs import HiddenInputs, Terms


@register_hidden_loss(
    form="blocks",
    terms=("states",),
    any_map=False,
    encoder_only=True,
)
def alp_kd(inputs: HiddenInputs) -> Terms:
    """The first token ([CLS]) of a student block imitates the mix of those of the teacher blocks,
    weighted by the softmax of their dot products with it: squared error, mean over width, examples
    and blocks (Passban et al. 2021, arXiv 2012.14022). Gradients also flow through the weights."""
    import torch

    first = {t: inputs.rows.first(inputs.teacher[t]).float() for _, t in inputs.blocks}
    losses = []
    for s, targets in inputs.targets.items():
        student_BD = inputs.rows.first(inputs.student[s]).float()
        teacher_BTD = torch.stack([first[t] for t in targets], 1)
        shares_BT = torch.softmax((teacher_BTD @ student_BD[:, :, None])[:, :, 0], -1)
        mixed_BD = (shares_BT[:, None] @ teacher_BTD)[:, 0]
        losses.append(inputs.share((student_BD - mixed_BD).square().mean(-1)))
    return (torch.stack(losses).mean(),)
