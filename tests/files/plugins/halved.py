"""A plug-in: an additive hidden loss, with a parameter, and a loss of the whole batch."""

import torch
from factor import HALF

from raykd.losses.hidden.registry import register_hidden_loss


@register_hidden_loss(options={"exponent": 2.0})
def half_power(student_ND, teacher_ND, tokens, examples, exponent):
    """Half of a power of the absolute difference, mean over tokens and width."""
    difference = (student_ND.float() - teacher_ND.float()).abs()
    return HALF * difference.pow(exponent).sum() / (tokens * student_ND.shape[-1])


@register_hidden_loss(additive=False)
def half_spread(student_ND, teacher_ND, tokens, examples):
    """Half of the difference between the standard deviations over all tokens of the batch."""
    return HALF * (student_ND.float().std(0) - teacher_ND.float().std(0)).abs().mean()


assert torch.__version__
