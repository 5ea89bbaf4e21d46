"""What seeds say beyond one margin, against simulation and the tests that it inverts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.analysis.stats.margins import larger_test, probabilities
from raykd.analysis.verdict.judge import judge

from ..made import scores

RNG = np.random.default_rng(1)
EFFECTS = st.floats(-3, 3)
SDS = st.floats(0.01, 3)


@given(EFFECTS, SDS, st.integers(2, 30), st.floats(0.1, 3))
def test_probabilities_add_up_and_turn_with_the_sign(
    mean: float, sd: float, n: int, margin: float
) -> None:
    p, turned = probabilities(mean, sd, n, margin), probabilities(-mean, sd, n, margin)
    assert p.worse + p.equivalent + p.better == pytest.approx(1)
    assert (p.worse, p.better) == pytest.approx((turned.better, turned.worse))
    assert min(p.worse, p.equivalent, p.better) >= 0


def test_probabilities_are_those_of_the_truth_under_a_flat_prior() -> None:
    """Of truths drawn far and wide, those whose data look alike lie where the posterior says."""
    n, margin = 5, 1.0
    truths = RNG.uniform(-12, 12, 400_000)
    data = truths[:, None] + RNG.normal(0, 1, (len(truths), n))
    means, sds = data.mean(1), data.std(1, ddof=1)
    alike = (abs(means - 0.8) < 0.1) & (abs(sds - 0.9) < 0.1)
    p = probabilities(0.8, 0.9, n, margin)
    within = float((abs(truths[alike]) <= margin).mean())
    # The SD is known to the simulation's likelihood only through the data, as in the posterior.
    assert within == pytest.approx(p.equivalent, abs=0.05)


def arms(n: int = 8, sd: float = 0.4) -> dict[str, list[float]]:
    luck = RNG.normal(80, 1, n)
    return {
        name: list(luck + shift + RNG.normal(0, sd, n))
        for name, shift in {"none": -3, "forward": 0, "reverse": 0.2, "last": -0.3}.items()
    }


def test_h1_is_supported_above_the_bound_and_not_below() -> None:
    for _ in range(20):
        found = scores(arms())
        largest = judge(found, 1.0).cells[0].largest
        assert largest is not None and largest.level == 0.95
        above, below = (
            judge(found, factor * largest.bound).cells[0].hypothesis("H1").status
            for factor in (1.001, 0.999)
        )
        assert above == "supported" and below != "supported"
        for margin, p in largest.curve:
            if margin != pytest.approx(largest.bound):
                assert (p <= 0.05) == (margin > largest.bound)


def test_the_bound_covers_the_largest_true_difference() -> None:
    """In at least 95 % of sweeps, whichever strategy it is of."""
    sweeps, truth = 400, 0.3
    misses = 0
    for _ in range(sweeps):
        largest = judge(scores(arms()), 1.0).cells[0].largest
        assert largest is not None
        misses += largest.bound < truth
    assert misses <= 0.05 * sweeps + 4 * np.sqrt(0.05 * 0.95 * sweeps)


def test_a_lost_arm_leaves_no_bound() -> None:
    found = scores(arms())
    one_seed = tuple(s for s in found.items if s.strategy != "last" or s.seed == 0)
    assert judge(replace(found, items=one_seed), 1.0).cells[0].largest is None


@pytest.mark.parametrize("examples", [50, 400])
def test_a_doubled_test_set_has_the_sd_that_it_promises(examples: int) -> None:
    """Students differ by seed (SD 1 point) and by single answers."""
    seeds, repeats = 12, 200
    measured, promised = [], []
    for _ in range(repeats):
        of_seeds = RNG.normal(0, 0.01, seeds)
        answers = 100 * (of_seeds[:, None] + RNG.normal(0, 0.3, (seeds, 2 * examples)))
        found = larger_test([answers[:, :examples]])
        assert found is not None and found.of == seeds and 2 <= found.seeds <= seeds
        promised.append(found.doubled**2)
        measured.append(answers.mean(1).var(ddof=1))
    assert np.mean(promised) == pytest.approx(np.mean(measured), rel=0.1)


def test_equal_answers_promise_nothing() -> None:
    assert larger_test([np.zeros((3, 10))]) is None
    assert larger_test([np.ones((1, 10))]) is None
