"""Squared error of states in units of the teacher's spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raykd.losses.hidden.registry import register_hidden_loss

if TYPE_CHECKING:
    from torch import Tensor


@register_hidden_loss(standardized=True)
def standardized_mse(student_ND: Tensor, teacher_ND: Tensor, tokens: int, examples: int) -> Tensor:
    """`mse` of states that are centred and scaled by feature, x -> (x - mean) / deviation, with the
    mean and standard deviation of the teacher state over training rows (the standardization of
    Ranzinger et al. 2024, PHI-S, arXiv 2410.01680).

    Every feature counts alike, so a few features with large values do not decide the loss. A
    student that has learned the teacher's mean state alone has a loss of about 1, and 1 - loss is
    about the mean R² of the features. The mean cancels in the difference and so has no influence on
    the gradient.
    """
    from raykd.losses.hidden.kinds.squared_error import mse

    return mse(student_ND, teacher_ND, tokens, examples)
