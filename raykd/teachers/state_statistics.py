"""Means and standard deviations of the teacher's states over training rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raykd.data.batches import eval_batches
from raykd.losses.hidden.statistics import FeatureStatistics
from raykd.maps.activations import Activation, states
from raykd.models import stacks
from raykd.teachers.fill_cache import FILL_BATCH, Filler, sample

if TYPE_CHECKING:
    from torch import Tensor

STATISTICS_ROWS = 512  # evenly spaced training rows that the statistics are computed over


def state_statistics(filler: Filler) -> dict[Activation, FeatureStatistics]:
    """Return the statistics of each teacher state over the valid tokens of a sample of training
    rows.

    The teacher runs separately for it, once over these rows, so the statistics do not depend on the
    students' teacher source, on workers and micro-batches, on the rest of the cohort, or on an
    interruption.
    """
    all_states = states(stacks.depth(filler.teacher.config))
    rows, tokens = sample(filler.encoded, STATISTICS_ROWS), dict.fromkeys(all_states, 0)
    sums_D: dict[Activation, Tensor] = {}
    squares_D: dict[Activation, Tensor] = {}
    with filler.live(all_states) as live:
        for part in eval_batches(filler.encoded.lengths[rows], FILL_BATCH):
            for k, x_ND in filler.targets(live, rows[part]).states_ND.items():
                tokens[k] += len(x_ND)
                sums_D[k] = sums_D.get(k, 0) + x_ND.double().sum(0)
                squares_D[k] = squares_D.get(k, 0) + x_ND.double().square().sum(0)
    return {
        k: FeatureStatistics.of_sums(tokens[k], sums_D[k], squares_D[k]).to(filler.device)
        for k in sums_D
    }
