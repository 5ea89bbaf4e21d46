"""Attention as published methods compare it, from the queries, keys and values of a block.

Scores are the scaled dot products of queries and keys, which fully determine attention in BERT and
similar models. Position biases or rotations of a model (MPNet, DeBERTa, ModernBERT) are not
included. Shapes: N valid tokens, B examples, T padded tokens, H heads.

Every loss is the mean over the tokens of an example, then over the examples of the global batch; a
function returns the share of its shard.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from raykd.losses.hidden.inputs import HiddenInputs, Rows
from raykd.maps.activations import Activation, ActivationKind

RELATION_WIDTH = 16  # teacher dimensions of a relation head: 48 heads at width 768, 64 at 1024


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


def scores_of(
    inputs: HiddenInputs, values: Mapping[Activation, Tensor], state: Activation
) -> Tensor:
    """Attention scores x_BHTT of the block of a state in one of the models."""
    queries, keys = values[state.of_kind("query")], values[state.of_kind("key")]
    return scores(queries, keys, inputs.heads, inputs.rows)


def relation(
    inputs: HiddenInputs, kind: ActivationKind, s: Activation, t: Activation, heads: int
) -> Tensor:
    """`relation_kl` of the vectors of one kind with themselves, for a matched pair of blocks."""
    student, teacher = inputs.student[s.of_kind(kind)], inputs.teacher[t.of_kind(kind)]
    return relation_kl(
        scores(student, student, heads, inputs.rows),
        scores(teacher, teacher, heads, inputs.rows),
        inputs.rows,
    )
