"""Squared errors of states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raykd.losses.hidden.registry import register_hidden_loss

if TYPE_CHECKING:
    from torch import Tensor


@register_hidden_loss()
def mse(student_ND: Tensor, teacher_ND: Tensor, tokens: int, examples: int) -> Tensor:
    """Squared error, mean over valid tokens and width."""
    import torch.nn.functional as F

    squared = F.mse_loss(student_ND.float(), teacher_ND.float(), reduction="sum")
    return squared / (tokens * student_ND.shape[-1])


def standardised(x_ND: Tensor) -> Tensor:
    """Each token's vector with zero mean and unit variance over its width."""
    import torch.nn.functional as F

    return F.layer_norm(x_ND.float(), x_ND.shape[-1:])


@register_hidden_loss(space=standardised)
def normalized_mse(student_ND: Tensor, teacher_ND: Tensor, tokens: int, examples: int) -> Tensor:
    """`mse` after the vector of each token is normalised to zero mean and unit variance over its
    width.

    The loss is scale-free, so one weight suits shallow and deep blocks and different teachers.
    """
    return mse(standardised(student_ND), standardised(teacher_ND), tokens, examples)
