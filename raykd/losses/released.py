"""The paper's released losses on padded tensors (arXiv 2502.04499; dart/ and t5mt/distillation.py,
llm/sft_trainer.py of its release). Those of BERT and BART need no padding (hidden.py).

What is odd about them is kept, and named: hidden terms are summed over states and not averaged, so
that their weight grows with the student's depth; T5's states are standardised over the whole batch,
padding included, so that a text's loss depends on its batch mates; and the decoder's mask is that
of the ids it reads, by which a shorter text counts one position behind its end, and T5, whose start
token is the padding's, does not count its first; Qwen's hidden loss counts padding like tokens and
is then scaled by the share of tokens, which is no mask. Kept for parity, not for use.

Shapes: B texts, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from raykd.data.batches import Batch


def mask(model: PreTrainedModel, batch: Batch, decoder: bool) -> Tensor:
    """Where the release takes a stack to have tokens, [B, T] of booleans: by the source's mask, or
    by what the decoder reads."""
    if not decoder:
        return batch.inputs["attention_mask"].bool()
    read_BT: Tensor = model.prepare_decoder_input_ids_from_labels(batch.inputs["labels"])
    return read_BT.ne(model.config.pad_token_id)


def jointly_normalized(x_BTD: Tensor) -> Tensor:
    """Zero mean and unit variance over all of the batch, padding included: the release's
    `F.layer_norm(x, x.shape[1:])` of stacked states."""
    return F.layer_norm(x_BTD.float(), x_BTD.shape)


def paper_t5(student_BTD: Tensor, teacher_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """A state's squared error after both have been standardised over the whole batch, padding
    included; mean over the masked tokens and width (t5mt/distillation.py). To be summed over the
    states of both stacks.

    What a batch is padded to is not reproduced: here to its longest.
    """
    student, teacher = (jointly_normalized(x)[mask_BT] for x in (student_BTD, teacher_BTD))
    return F.mse_loss(student, teacher)


def paper_qwen(student_BTD: Tensor, teacher_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """2 - 2 cos of a state, as the squared distance of vectors of length one, mean over all B * T
    places, times the share of them that are tokens (llm/sft_trainer.py). To be averaged over
    states.

    So with N tokens it is N / (B * T) ** 2 times the sum over all places: prompts count, and so
    does padding, as much as a token. A loss of tokens alone is another, unless nothing is padded:
    then both are the plain mean. What a batch is padded to is not reproduced (here to its longest),
    nor that the release takes this anew of every part of an accumulated batch and sums the parts.
    """
    student, teacher = (F.normalize(x.float(), dim=-1) for x in (student_BTD, teacher_BTD))
    distance_BT = (student - teacher).square().sum(-1)
    return distance_BT.mean() * mask_BT.float().mean()


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    f.__name__: f for f in (paper_t5, paper_qwen)
}
"""The kinds of hidden loss that look at padding: (student_BTD, teacher_BTD, mask_BT) -> scalar."""
