"""Losses on hidden states, one pair of states at a time. Pure functions.

Shapes: N valid tokens, D width.
Padding never reaches a loss: hidden losses see the N valid tokens alone. Every function returns
this shard's share of the global batch's mean: the caller names the global counts, and the shares
of all workers (or accumulation steps) sum to the loss of the whole batch, whatever the split.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from raykd.maps.loss_kinds import SUMMED


def mse(student_ND: Tensor, teacher_ND: Tensor, tokens: int, examples: int) -> Tensor:
    """Squared error, mean over valid tokens and width."""
    squared = F.mse_loss(student_ND.float(), teacher_ND.float(), reduction="sum")
    return squared / (tokens * student_ND.shape[-1])


def normalized_mse(student_ND: Tensor, teacher_ND: Tensor, tokens: int, examples: int) -> Tensor:
    """`mse` after each token's vector is set to zero mean and unit variance over its width.

    Scale-free, so that one weight serves shallow and deep blocks and different teachers.
    """
    width = student_ND.shape[-1:]
    student, teacher = (F.layer_norm(x.float(), width) for x in (student_ND, teacher_ND))
    return mse(student, teacher, tokens, examples)


def cosine(student_ND: Tensor, teacher_ND: Tensor, tokens: int, examples: int) -> Tensor:
    """1 - cos(student, teacher), mean over valid tokens (DistilBERT, arXiv 1910.01108)."""
    similarity = F.cosine_similarity(student_ND.float(), teacher_ND.float(), dim=-1)
    return (1 - similarity).sum() / tokens


def paper(student_ND: Tensor, teacher_ND: Tensor, tokens: int, examples: int) -> Tensor:
    """The released BERT arithmetic: squared error summed over width, mean over valid tokens,
    divided once more by the batch size (arXiv 2502.04499, classification/trainer.py:2014-2023).

    Its weight changes with the batch size: kept for parity, not for use.
    """
    squared = F.mse_loss(student_ND.float(), teacher_ND.float(), reduction="sum")
    return squared / (tokens * examples)


def paper_bart(student_ND: Tensor, teacher_ND: Tensor, tokens: int, examples: int) -> Tensor:
    """The released arithmetic for BART (dart/distillation.py): `mse`, but summed over the matched
    states of both stacks, so that its weight grows with the student's depth. Over the target's own
    tokens: the release counts a position behind the end of each shorter text too (released.py).
    Kept for parity."""
    return mse(student_ND, teacher_ND, tokens, examples)


HiddenLoss = Callable[[Tensor, Tensor, int, int], Tensor]
"""(student_ND, teacher_ND, valid tokens, examples of the global batch) -> scalar share."""

HIDDEN: dict[str, HiddenLoss] = {
    f.__name__: f for f in (mse, normalized_mse, cosine, paper, paper_bart)
}


def valid(x_BTD: Tensor, places_N: Tensor) -> Tensor:
    """The valid tokens of x as x_ND, in row-major order; their places are a batch's `valid`."""
    return x_BTD.flatten(0, 1).index_select(0, places_N)


def hidden(
    kind: str,
    pairs: list[tuple[Tensor, Tensor]],
    tokens: list[int],
    examples: int,
) -> tuple[Tensor, list[Tensor]]:
    """The mean over matched pairs of a hidden loss (of SUMMED ones the sum), and every pair's own.

    `pairs` holds (student_ND, teacher_ND), at least one, and `tokens` the valid tokens that the
    global batch has in each pair's stack. The paper's M is `len(pairs)`.
    """
    each = [HIDDEN[kind](s, t, n, examples) for (s, t), n in zip(pairs, tokens, strict=True)]
    return over_pairs(kind, each), each


def over_pairs(kind: str, each: list[Tensor]) -> Tensor:
    """The hidden loss of every pair's own."""
    whole = torch.stack(each)
    return whole.sum() if kind in SUMMED else whole.mean()
