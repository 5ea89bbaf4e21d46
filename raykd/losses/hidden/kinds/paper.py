"""The arithmetic of the paper's released code that needs no padding (arXiv 2502.04499); that with
padding is in released.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raykd.losses.hidden.registry import register_hidden_loss

if TYPE_CHECKING:
    from torch import Tensor


@register_hidden_loss(embedding=True)
def paper(student_ND: Tensor, teacher_ND: Tensor, tokens: int, examples: int) -> Tensor:
    """The arithmetic of the released BERT code: squared error summed over width, mean over valid
    tokens, divided once more by the batch size (arXiv 2502.04499,
    classification/trainer.py:2014-2023).

    Its weight depends on the batch size; for parity with the paper only.
    """
    import torch.nn.functional as F

    squared = F.mse_loss(student_ND.float(), teacher_ND.float(), reduction="sum")
    return squared / (tokens * examples)


@register_hidden_loss(averages=False, embedding=True)
def paper_bart(student_ND: Tensor, teacher_ND: Tensor, tokens: int, examples: int) -> Tensor:
    """The arithmetic of the released BART code (dart/distillation.py): `mse`, but summed over the
    matched states of both stacks, so that its weight grows with the student's depth. Only the
    tokens of the target count: the release also counts a position behind the end of each shorter
    text (released.py). For parity with the paper only."""
    from raykd.losses.hidden.kinds.squared_error import mse

    return mse(student_ND, teacher_ND, tokens, examples)
