"""The cosine loss of DistilBERT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raykd.losses.hidden.registry import register_hidden_loss

if TYPE_CHECKING:
    from torch import Tensor


def direction(x_ND: Tensor) -> Tensor:
    """Each token's vector with length 1."""
    import torch.nn.functional as F

    return F.normalize(x_ND.float(), dim=-1)


@register_hidden_loss(space=direction)
def cosine(student_ND: Tensor, teacher_ND: Tensor, tokens: int, examples: int) -> Tensor:
    """1 - cos(student, teacher), mean over valid tokens (DistilBERT, arXiv 1910.01108)."""
    import torch.nn.functional as F

    similarity = F.cosine_similarity(student_ND.float(), teacher_ND.float(), dim=-1)
    return (1 - similarity).sum() / tokens
