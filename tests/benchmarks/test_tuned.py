"""The short form of benchmarks/tuned.py: which seeds choose a hidden weight (case 6)."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.simulate import JOINT_POWER, joint_power
from benchmarks.tuned import RULES, choices, faults, rates
from raykd.analysis.scores.loss_weights import TUNED, over_weights
from raykd.analysis.scores.scores import Score

SWEEPS = 1500


@pytest.mark.parametrize(("weights", "seeds"), [(5, 5), (5, 10), (2, 3)])
@pytest.mark.parametrize("own", [0.0, 0.5])
def test_where_no_weight_gains_the_tuned_cell_favours_none(
    weights: int, seeds: int, own: float
) -> None:
    assert faults([rates("earlier seeds", weights, seeds, own, 0.5, SWEEPS)]) == []


def test_weights_chosen_under_the_judged_seeds_would_be_caught() -> None:
    """The cells that failed: all seeds choose, or all others, which are then correlated."""
    same, others = (rates(rule, 5, 10, 0.0, 0.5, SWEEPS) for rule in RULES[:2])
    assert same.favoured > 0.12 and others.h2_contradicted > 0.1
    as_ours = type(same)(**{**vars(same), "rule": RULES[-1]})
    assert any(fault.endswith("favoured") for fault in faults([as_ours]))


def test_the_simulated_rule_is_the_verdicts() -> None:
    select = np.random.default_rng(0).normal(80, 1, (6, 3))
    items = [
        Score("reviews", "copied", "3", "forward", seed, "accuracy", 80.0,
              select=float(select[seed, w]), weight=f"{w + 1}")
        for w in range(3) for seed in range(6)
    ]  # fmt: skip
    found, _ = over_weights(items, [], True)
    chosen = {s.seed: s.chosen for s in found if s.weight == TUNED}
    simulated = choices(select, "earlier seeds")
    assert chosen == {seed: f"{w + 1}" for seed, w in enumerate(simulated, 1)}


def test_ten_seeds_and_six_rivals_have_the_joint_power_that_is_stated() -> None:
    """SD of a paired difference 0.8 of the margin, and no `extend`."""
    found = joint_power(4000)
    assert found["predicted"] > JOINT_POWER
    assert found["simulated"] == pytest.approx(found["predicted"], abs=0.026)
