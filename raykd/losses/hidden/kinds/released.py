"""The paper's released losses on padded tensors (arXiv 2502.04499; dart/ and t5mt/distillation.py,
llm/sft_trainer.py of its release). Those of BERT and BART need no padding (paper.py).

Their peculiarities are reproduced:

- Hidden terms are summed over states and not averaged, so that their weight grows with the
  student's depth.
- T5's states are standardised over the whole batch, padding included, so that the loss of a text
  depends on the other texts in its batch.
- The mask of the decoder is that of the ids it reads: a shorter text counts one position behind its
  end, and T5, whose start token is the padding token, does not count its first.
- Qwen's hidden loss counts padding like tokens and is then scaled by the share of tokens, which is
  not a mask.

For parity with the paper only.

Shapes: B texts, T tokens, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raykd.losses.hidden.registry import register_hidden_loss

if TYPE_CHECKING:
    from torch import Tensor


def jointly_normalized(x_BTD: Tensor) -> Tensor:
    """Normalises to zero mean and unit variance over the whole batch, padding included: the
    release's `F.layer_norm(x, x.shape[1:])` of stacked states."""
    import torch.nn.functional as F

    return F.layer_norm(x_BTD.float(), x_BTD.shape)


# Which places are tokens depends on values; paper_qwen makes as many tensors.
@register_hidden_loss(form="padded_pair", averages=False, embedding=True, stand_in="paper_qwen")
def paper_t5(student_BTD: Tensor, teacher_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Squared error of a state after both are standardised over the whole batch, padding included;
    mean over the masked tokens and width (t5mt/distillation.py). The caller sums over the states of
    both stacks.

    The padded length of the release is not reproduced: here a batch is padded to its longest text.
    """
    import torch.nn.functional as F

    student, teacher = (jointly_normalized(x) for x in (student_BTD, teacher_BTD))
    if mask_BT.device.type == "cpu":
        return F.mse_loss(student[mask_BT], teacher[mask_BT])
    # Selecting by a mask makes the host wait until the device has counted it.
    squared = (student - teacher).square().masked_fill(~mask_BT[..., None], 0)
    return squared.sum() / (mask_BT.sum() * squared.shape[-1])


@register_hidden_loss(form="padded_pair")
def paper_qwen(student_BTD: Tensor, teacher_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """2 - 2 cos of a state, as the squared distance of vectors of length one, mean over all B * T
    places, times the share of tokens among them (llm/sft_trainer.py). The caller averages over
    states.

    With N tokens the value is N / (B * T) ** 2 times the sum over all places: prompts and padding
    count as much as completions. It differs from a loss over tokens only, unless nothing is padded:
    then both are the plain mean. Two details of the release are not reproduced: its padded length
    (here the longest text), and the separate computation for every part of an accumulated batch,
    summed over the parts.
    """
    import torch.nn.functional as F

    student, teacher = (F.normalize(x.float(), dim=-1) for x in (student_BTD, teacher_BTD))
    distance_BT = (student - teacher).square().sum(-1)
    return distance_BT.mean() * mask_BT.float().mean()
