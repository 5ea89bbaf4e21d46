"""Relational knowledge distillation (RKD): distances and angles between the examples of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raykd.losses.hidden.registry import register_hidden_loss

if TYPE_CHECKING:
    from torch import Tensor

    from raykd.losses.hidden.inputs import HiddenInputs, Terms


def distances(x_BD: Tensor) -> Tensor:
    """Euclidean distances x_BB, in units of their mean over the pairs of distinct examples."""
    import torch

    squares_B = x_BD.square().sum(1)
    squared_BB = squares_B[:, None] + squares_B - 2 * x_BD @ x_BD.T
    itself_BB = torch.eye(len(x_BD), dtype=torch.bool, device=x_BD.device)
    # The square root has no gradient at 0: equal examples have a distance without one.
    distances_BB = squared_BB.clamp_min(1e-12).sqrt().masked_fill(itself_BB, 0)
    pairs = max(1, len(x_BD) * (len(x_BD) - 1))
    return distances_BB / (distances_BB.sum() / pairs).clamp_min(1e-12)


def angles(x_BD: Tensor) -> Tensor:
    """Cosines x_BBB of the angles at each example between the directions to two others."""
    import torch.nn.functional as F

    directions_BBD = F.normalize(x_BD[None] - x_BD[:, None], dim=-1)
    return directions_BBD @ directions_BBD.transpose(1, 2)


@register_hidden_loss(
    form="blocks",
    terms=("distances", "angles"),
    additive=False,
    projects=False,
    least_examples=3,
    options={"distance": 1.0, "angle": 2.0},
)
def rkd(inputs: HiddenInputs, distance: float, angle: float) -> Terms:
    """Huber loss between the distances of student and teacher, times `distance`, plus that between
    their angles, times `angle` (RKD-DA; Park et al. 2019, arXiv 1904.05068, equations 6 to 12).

    An example is the mean of its valid tokens' states. Distances are in units of their mean over
    the batch. Both terms are means over all pairs and triples of the batch, those of an example
    with itself included, as in the released code, and then over blocks. The widths may differ, so
    nothing is projected.
    """
    import torch
    import torch.nn.functional as F

    by_distance, by_angle = [], []
    for s, t in inputs.pairs:
        student_BD = inputs.rows.mean(inputs.student[s].float())
        teacher_BD = inputs.rows.mean(inputs.teacher[t].float())
        by_distance.append(F.smooth_l1_loss(distances(student_BD), distances(teacher_BD)))
        by_angle.append(F.smooth_l1_loss(angles(student_BD), angles(teacher_BD)))
    return distance * torch.stack(by_distance).mean(), angle * torch.stack(by_angle).mean()
