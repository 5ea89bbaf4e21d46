"""Attention as published methods compare it, from the queries, keys and values of a block.

Scores are the scaled dot products of queries and keys, which fully determine attention in BERT and
similar models. Position biases or rotations of a model (MPNet, DeBERTa, ModernBERT) are not
included. Shapes: N valid tokens, B examples, T padded tokens, H heads.

Every loss is the mean over the tokens of an example, then over the examples of the global batch; a
function returns the share of its shard.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from raykd.data.batches import Batch

RELATION_WIDTH = 16  # teacher dimensions of a relation head: 48 heads at width 768, 64 at 1024


@dataclass(frozen=True)
class Rows:
    """Indices of the valid tokens of a shard in its B x T places, and the counts of the global
    batch."""

    mask_BT: Tensor
    places_N: Tensor
    examples: int
    tokens: int

    @classmethod
    def of(cls, batch: Batch) -> Rows:
        mask_BT = batch.inputs["attention_mask"].bool()
        return cls(mask_BT, batch.valid, batch.examples, batch.tokens)

    @property
    def lengths_B(self) -> Tensor:
        return self.mask_BT.sum(1)

    def padded(self, x_ND: Tensor) -> Tensor:
        """x_BTD, zero at padding."""
        B, T = self.mask_BT.shape
        flat = x_ND.new_zeros(B * T, x_ND.shape[1]).index_copy(0, self.places_N, x_ND)
        return flat.view(B, T, -1)

    def mean(self, x_ND: Tensor) -> Tensor:
        """The mean over each example's valid tokens, x_BD."""
        return self.padded(x_ND).sum(1) / self.lengths_B[:, None]

    def first(self, x_ND: Tensor) -> Tensor:
        """Each example's first valid token, x_BD: [CLS] in BERT and similar models."""
        lengths_B = self.lengths_B
        return x_ND.index_select(0, lengths_B.cumsum(0) - lengths_B)


def scores(a_ND: Tensor, b_ND: Tensor, heads: int, rows: Rows) -> Tensor:
    """Scaled dot products between an example's tokens, head by head, x_BHTT: a b^T / sqrt(d)."""
    B, T = rows.mask_BT.shape
    a, b = (rows.padded(x.float()).view(B, T, heads, -1).transpose(1, 2) for x in (a_ND, b_ND))
    scaled: Tensor = a @ b.transpose(2, 3) / a.shape[-1] ** 0.5
    return scaled


def score_mse(student_BHTT: Tensor, teacher_BHTT: Tensor, rows: Rows) -> Tensor:
    """Squared error between the scores of student and teacher, mean over heads and pairs of valid
    tokens, x_B (TinyBERT, arXiv 1909.10351, equation 7, on the scores before their softmax)."""
    pairs_B1TT = (rows.mask_BT[:, :, None] & rows.mask_BT[:, None, :])[:, None]
    squared = (student_BHTT - teacher_BHTT).square().masked_fill(~pairs_B1TT, 0)
    return squared.sum((1, 2, 3)) / (squared.shape[1] * rows.lengths_B**2)


def relation_kl(student_BHTT: Tensor, teacher_BHTT: Tensor, rows: Rows) -> Tensor:
    """KL(teacher || student) between the softmax of scores over the valid tokens, mean over heads
    and tokens, then over examples (MiniLM, arXiv 2002.10957, equations 5 and 7)."""
    keys_B11T, queries_B1T = rows.mask_BT[:, None, None, :], rows.mask_BT[:, None, :]
    student, teacher = (
        F.log_softmax(x.masked_fill(~keys_B11T, float("-inf")), -1).masked_fill(~keys_B11T, 0)
        for x in (student_BHTT, teacher_BHTT)
    )
    terms = teacher.exp() * (teacher - student)  # zero at padded keys
    kl_BHT = terms.sum(-1).masked_fill(~queries_B1T, 0)
    mean_B = kl_BHT.sum((1, 2)) / (kl_BHT.shape[1] * rows.lengths_B)
    return mean_B.sum() / rows.examples


def relation_heads(student_width: int, teacher_width: int) -> int:
    """Number of relation heads into which MiniLMv2 splits both widths: as fine as the authors' 48
    of 768, or the next coarser number that divides both."""
    finest = max(1, teacher_width // RELATION_WIDTH)
    divisors = (h for h in range(finest, 0, -1) if student_width % h == teacher_width % h == 0)
    return next(divisors)
