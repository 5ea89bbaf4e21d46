"""Losses on hidden states, one pair of states at a time. Pure functions.

Shapes: N valid tokens, D width. Padding never reaches a loss: hidden losses get only the N valid
tokens. Every function returns the share of this shard in the mean of the global batch: the caller
passes the global counts, and the shares of all workers (or accumulation steps) sum to the loss of
the whole batch, however it is split.
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
    """`mse` after the vector of each token is normalised to zero mean and unit variance over its
    width.

    The loss is scale-free, so one weight suits shallow and deep blocks and different teachers.
    """
    width = student_ND.shape[-1:]
    student, teacher = (F.layer_norm(x.float(), width) for x in (student_ND, teacher_ND))
    return mse(student, teacher, tokens, examples)


def cosine(student_ND: Tensor, teacher_ND: Tensor, tokens: int, examples: int) -> Tensor:
    """1 - cos(student, teacher), mean over valid tokens (DistilBERT, arXiv 1910.01108)."""
    similarity = F.cosine_similarity(student_ND.float(), teacher_ND.float(), dim=-1)
    return (1 - similarity).sum() / tokens


def paper(student_ND: Tensor, teacher_ND: Tensor, tokens: int, examples: int) -> Tensor:
    """The arithmetic of the released BERT code: squared error summed over width, mean over valid
    tokens, divided once more by the batch size (arXiv 2502.04499,
    classification/trainer.py:2014-2023).

    Its weight depends on the batch size; for parity with the paper only.
    """
    squared = F.mse_loss(student_ND.float(), teacher_ND.float(), reduction="sum")
    return squared / (tokens * examples)


def paper_bart(student_ND: Tensor, teacher_ND: Tensor, tokens: int, examples: int) -> Tensor:
    """The arithmetic of the released BART code (dart/distillation.py): `mse`, but summed over the
    matched states of both stacks, so that its weight grows with the student's depth. Only the
    tokens of the target count: the release also counts a position behind the end of each shorter
    text (released.py). For parity with the paper only."""
    return mse(student_ND, teacher_ND, tokens, examples)


HiddenLoss = Callable[[Tensor, Tensor, int, int], Tensor]
"""(student_ND, teacher_ND, valid tokens, examples of the global batch) -> scalar share."""

HIDDEN: dict[str, HiddenLoss] = {
    f.__name__: f for f in (mse, normalized_mse, cosine, paper, paper_bart)
}


def valid(x_BTD: Tensor, places_N: Tensor) -> Tensor:
    """The valid tokens of x as x_ND, in row-major order; `places_N` is a batch's `valid`."""
    return x_BTD.flatten(0, 1).index_select(0, places_N)


def hidden(
    kind: str,
    pairs: list[tuple[Tensor, Tensor]],
    tokens: list[int],
    examples: int,
) -> tuple[Tensor, list[Tensor]]:
    """The hidden loss: the mean over matched pairs (the sum for kinds in SUMMED), and the loss of
    each pair.

    `pairs` holds (student_ND, teacher_ND), at least one, and `tokens` the number of valid tokens of
    the global batch in the stack of each pair. The paper's M is `len(pairs)`.
    """
    losses = [HIDDEN[kind](s, t, n, examples) for (s, t), n in zip(pairs, tokens, strict=True)]
    return over_pairs(kind, losses), losses


def over_pairs(kind: str, losses: list[Tensor]) -> Tensor:
    """The hidden loss, given the loss of each pair."""
    stacked = torch.stack(losses)
    return stacked.sum() if kind in SUMMED else stacked.mean()
