"""Linear centred kernel alignment (CKA) of two states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raykd.losses.hidden.registry import register_hidden_loss

if TYPE_CHECKING:
    from torch import Tensor


@register_hidden_loss(additive=False, projects=False, least_examples=2)
def linear_cka(student_ND: Tensor, teacher_ND: Tensor, tokens: int, examples: int) -> Tensor:
    """1 - CKA of all tokens of the batch, with features centred over them:
    CKA = |S^T T|^2 / (|S^T S| |T^T T|), Frobenius norms (Kornblith et al. 2019, arXiv 1905.00414,
    section 3). The widths may differ, so nothing is projected.
    """
    student, teacher = (x.float() - x.float().mean(0) for x in (student_ND, teacher_ND))
    shared = (student.T @ teacher).square().sum()
    norms = (student.T @ student).norm() * (teacher.T @ teacher).norm()
    loss: Tensor = 1 - shared / norms.clamp_min(1e-12)
    return loss
