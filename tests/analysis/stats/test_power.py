"""Power: against simulation, statsmodels, and numbers that others computed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from raykd.analysis.stats import power
from raykd.analysis.summary.foresight import decides

# Seeds for power 0.8 of paired TOST at alpha 0.05, true difference 0, by simulation elsewhere.
KNOWN = {(0.25, 0.25): 11, (0.25, 0.5): 4, (0.5, 0.25): 37, (0.5, 0.5): 11, (0.5, 1.0): 4,
         (1.0, 0.5): 36, (1.0, 1.0): 10, (1.0, 2.0): 4, (2.0, 1.0): 35, (2.0, 2.0): 11}  # fmt: skip


@pytest.mark.parametrize(("sd", "margin"), KNOWN)
def test_seeds_for_equivalence(sd: float, margin: float) -> None:
    found = power.needed(sd, margin, 0.05, comparisons=1).equal
    assert found == pytest.approx(KNOWN[sd, margin], abs=1)


@pytest.mark.parametrize(
    ("n", "sd", "effect", "alpha"),
    [(2, 0.3, 0.0, 0.05), (3, 0.5, 0.4, 0.05), (10, 1.0, 0.3, 0.0125), (40, 2.0, -0.5, 0.05)],
)
def test_tost_power_is_what_simulation_gives(
    n: int, sd: float, effect: float, alpha: float
) -> None:
    sweeps = 100_000
    x = np.random.default_rng(n).normal(effect, sd, (sweeps, n))
    half = stats.t.ppf(1 - alpha, n - 1) * x.std(axis=1, ddof=1) / np.sqrt(n)
    inside = (x.mean(axis=1) + half < 1) & (x.mean(axis=1) - half > -1)
    error = 4 * np.sqrt(inside.mean() * (1 - inside.mean()) / sweeps)
    assert power.tost_power(n, sd, 1.0, effect, alpha) == pytest.approx(inside.mean(), abs=error)


@pytest.mark.parametrize(("n", "effect"), [(2, 0.5), (5, 1.2), (30, 0.4)])
def test_one_sided_power_is_statsmodels(n: int, effect: float) -> None:
    expected = TTestPower().power(effect / 0.8, n, 0.05, alternative="larger")
    assert power.above_power(n, 0.8, 0.0, effect, 0.05) == pytest.approx(expected, abs=1e-6)
    assert power.above_power(n, 0.8, 2.0, 2.0 + effect, 0.05) == pytest.approx(expected, abs=1e-6)


def test_seeds_for_is_the_fewest() -> None:
    def curve(n: int) -> float:
        return power.tost_power(n, 1.7, 1.0, 0.2, 0.0125)

    n = power.seeds_for(curve)
    assert n is not None and curve(n) >= 0.8 > curve(n - 1)


def test_an_effect_at_the_margin_takes_more_seeds_than_there_are() -> None:
    assert power.seeds_for(lambda n: power.tost_power(n, 0.5, 1.0, 1.0, 0.05)) is None
    assert power.seeds_for(lambda n: power.beyond_power(n, 0.5, 1.0, 1.0, 0.05)) is None


@pytest.mark.parametrize("n", [2, 3, 10, 200])
def test_the_largest_sd_just_suffices(n: int) -> None:
    sd = power.largest_sd(n, 2.0, 0.05, comparisons=4)
    assert sd is not None
    assert power.all_equivalent_power(n, sd, 2.0, 0.0, 0.05, 4) == pytest.approx(0.8, abs=1e-6)
    assert power.largest_sd(1, 2.0, 0.05, 4) is None


@pytest.mark.parametrize(
    ("n", "sd", "effect", "arms"),
    [(2, 0.3, 0.0, 2), (3, 0.5, 0.4, 6), (5, 0.5, 0.0, 6), (10, 1.0, -0.3, 20)],
)
def test_the_power_for_every_strategy_is_what_simulation_gives(
    n: int, sd: float, effect: float, arms: int
) -> None:
    """Arms of equal noise that share forward, each tested at alpha, all of which must pass."""
    sweeps, rng = 40_000, np.random.default_rng(arms)
    noise = sd / np.sqrt(2)
    d = rng.normal(effect, noise, (sweeps, n, arms)) - rng.normal(0, noise, (sweeps, n, 1))
    half = stats.t.ppf(0.95, n - 1) * d.std(axis=1, ddof=1) / np.sqrt(n)
    inside = ((d.mean(axis=1) + half < 1) & (d.mean(axis=1) - half > -1)).all(axis=1).mean()
    said = power.all_equivalent_power(n, sd, 1.0, effect, 0.05, arms)
    assert said == pytest.approx(inside, abs=4 * np.sqrt(max(inside, 1e-3) / sweeps))


@pytest.mark.parametrize("n", [2, 5, 60, 3000])
@pytest.mark.parametrize("arms", [1, 3, 12])
def test_all_together_lie_between_independent_ones_and_one_alone(n: int, arms: int) -> None:
    """They share forward, so that they pass or fail together more than by chance; without a
    correction for their number."""
    sd = 0.35 * np.sqrt(n)
    one = power.tost_power(n, sd, 1.0, 0.0, 0.05)
    together = power.all_equivalent_power(n, sd, 1.0, 0.0, 0.05, arms)
    assert one**arms - 1e-6 <= together <= one + 1e-6
    assert together > power.all_of([lambda k: power.tost_power(k, sd, 1.0, 0.0, 0.05)] * arms)(
        n
    ) - 1e-6  # fmt: skip


def test_the_curve_rises_to_what_is_needed() -> None:
    found = power.needed(0.5, 1.0, 0.05, comparisons=4)
    equal = [p.equal for p in found.curve]
    assert equal == sorted(equal)
    first = next(p.seeds for p in found.curve if p.equal >= 0.8)
    assert first == found.equal == found.to_json()["equal"]
    assert found.half is not None and found.half > found.equal


def test_a_plan_says_what_its_seeds_see() -> None:
    arms = ["none", "forward", "reverse", "random"]
    said = decides(3, 1.0, 0.05, arms)
    sd = power.largest_sd(3, 1.0, 0.05, comparisons=2)
    assert f"at most {sd:.2g}" in said and "2 other strategies equal forward" in said
    assert decides(1, 1.0, 0.05, arms).startswith("nothing: 1 seed")
    assert decides(5, 1.0, 0.05, ["none", "reverse"]).startswith("no hypothesis: there is no pair")
