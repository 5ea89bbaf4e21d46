"""The paper's released losses for encoder-decoders, on padded tensors (arXiv 2502.04499; dart/ and
t5mt/distillation.py of its release).

What is odd about them is kept, and named: hidden terms are summed over states and not averaged, so
that their weight grows with the student's depth; T5's states are standardised over the whole batch,
padding included, so that a text's loss depends on its batch mates; and the decoder's mask is that
of the ids it reads, by which a shorter text counts one position behind its end, and T5, whose start
token is the padding's, does not count its first. Kept for parity, not for use.

Shapes: B texts, T tokens, D width, V vocabulary, K matched states.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Track = Literal["bart", "t5"]
TEMPERATURE = {"bart": 1.0, "t5": 2.0}
HIDDEN_WEIGHT = 3.0


def decoder_mask(read_BT: Tensor, pad: int) -> Tensor:
    """Where the release takes the decoder to be: [B, T] of booleans."""
    return read_BT != pad


def kl(student_BTV: Tensor, teacher_BTV: Tensor, mask_BT: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(teacher || student), summed over the vocabulary, mean over the masked positions."""
    student = F.log_softmax(student_BTV[mask_BT].float() / temperature, -1)
    teacher = F.softmax(teacher_BTV[mask_BT].float() / temperature, -1)
    return F.kl_div(student, teacher, reduction="sum") / mask_BT.sum() * temperature**2


def jointly_normalized(x_BTD: Tensor) -> Tensor:
    """Zero mean and unit variance over all of the batch, padding included: the release's
    `F.layer_norm(x, x.shape[1:])` of stacked states."""
    return F.layer_norm(x_BTD.float(), x_BTD.shape)


def hidden(track: Track, pairs: Sequence[tuple[Tensor, Tensor]], mask_BT: Tensor) -> list[Tensor]:
    """Of one stack: the squared error of each pair (student_BTD, teacher_BTD), mean over masked
    tokens and width. Their sum, over both stacks, is the hidden loss."""
    each = []
    for student, teacher in pairs:
        if track == "t5":
            student, teacher = jointly_normalized(student), jointly_normalized(teacher)
        each.append(F.mse_loss(student[mask_BT].float(), teacher[mask_BT].float()))
    return each


def total(ce: Tensor, kl: Tensor, hidden: Sequence[Tensor]) -> Tensor:
    """CE + KL + 3 HID, the weights of every released script."""
    return ce + kl + HIDDEN_WEIGHT * torch.stack(list(hidden)).sum()
