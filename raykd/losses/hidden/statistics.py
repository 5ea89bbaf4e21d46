"""The mean and the standard deviation of each feature of a teacher state.

Losses of kind `standardized` compare states in these units. The values are measured over training
rows (teachers/state_statistics.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from raykd.losses.hidden.registry import hidden_loss
from raykd.maps.activations import Activation

LEAST = 0.01
"""The smallest deviation of a feature, as a share of the root mean square over all features. A
feature that is constant in the teacher would otherwise be divided by zero."""


class FeatureStatistics(NamedTuple):
    """Both [D], in fp32."""

    mean_D: Tensor
    deviation_D: Tensor

    @classmethod
    def of_sums(cls, count: int, sums_D: Tensor, squares_D: Tensor) -> FeatureStatistics:
        """The statistics of `count` tokens, from the sums of features and of their squares in
        double precision."""
        mean_D = sums_D / count
        variance_D = (squares_D / count - mean_D.square()).clamp_min(0)
        least = (LEAST * variance_D.mean().sqrt()).clamp_min(1e-6)
        return cls(mean_D.float(), torch.maximum(variance_D.sqrt(), least).float())

    def standardize(self, x_ND: Tensor) -> Tensor:
        """x_ND with every feature in units of the teacher's deviation from the teacher's mean."""
        return (x_ND.float() - self.mean_D) / self.deviation_D

    def to(self, device: torch.device) -> FeatureStatistics:
        return FeatureStatistics(self.mean_D.to(device), self.deviation_D.to(device))


Statistics = Mapping[Activation, FeatureStatistics]


def unit_statistics(
    kinds: Iterable[str],
    states: Iterable[Activation],
    width: int,
    device: torch.device | None = None,
) -> dict[Activation, FeatureStatistics]:
    """Means of 0 and deviations of 1, where only the shapes matter: forecasts of time and memory.
    Empty if no hidden loss of these kinds standardises."""
    if not any(hidden_loss(kind).standardized for kind in kinds):
        return {}
    zeros_D, ones_D = torch.zeros(width, device=device), torch.ones(width, device=device)
    return dict.fromkeys(states, FeatureStatistics(zeros_D, ones_D))
