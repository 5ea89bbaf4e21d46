"""Variance shares against statsmodels' REML and by hand; examples against a real bootstrap."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.anova import anova_lm

from raykd.analysis.scores.scores import Score
from raykd.analysis.stats import examples, mixed, variance

RNG = np.random.default_rng(7)


def test_shares_are_those_of_reml() -> None:
    """Six maps, eight seeds, both random: statsmodels' crossed model on the same numbers."""
    y = RNG.normal(0, 2, (6, 1)) + RNG.normal(0, 1.5, (1, 8)) + RNG.normal(0, 1, (6, 8))
    found = variance.shares(y[None], 0.05)
    assert found is not None
    frame = pd.DataFrame(
        {"y": y.ravel(), "map": np.repeat(range(6), 8), "seed": np.tile(range(8), 6), "one": 1}
    )
    parts = {"map": "0 + C(map)", "seed": "0 + C(seed)"}
    fitted = MixedLM.from_formula("y ~ 1", frame, groups="one", vc_formula=parts).fit(
        reml=True, method="powell"
    )
    expected = [*np.sqrt(fitted.vcomp), np.sqrt(fitted.scale)]
    assert [s.sd for s in found.sources] == pytest.approx(expected, rel=0.01)
    assert sum(s.share for s in found.sources) == pytest.approx(1)
    assert all(s.interval[0] <= s.share <= s.interval[1] for s in found.sources)


def test_the_f_test_and_the_sums_of_squares_are_statsmodels() -> None:
    y = RNG.normal(0, 1, (2, 3, 4)) + np.array([0.0, 4.0])[:, None, None]
    index = np.indices(y.shape).reshape(3, -1)
    frame = pd.DataFrame({"y": y.ravel(), "i": index[0], "m": index[1], "s": index[2]})
    anova = anova_lm(ols("y ~ C(m) * C(i) + C(s)", frame).fit())
    found = variance.shares(y, 0.05)
    assert found is not None
    assert found.p_map == pytest.approx(anova.loc["C(m)", "PR(>F)"])
    squares, _ = variance._anova(y)
    expected = {"map": "C(m)", "init": "C(i)", "map x init": "C(m):C(i)", "seed": "C(s)",
                "rest": "Residual"}  # fmt: skip
    for name, row in expected.items():
        assert squares[name] == pytest.approx((anova.loc[row, "sum_sq"], anova.loc[row, "df"]))
    assert [s.source for s in found.sources] == list(expected)
    assert max(found.sources, key=lambda s: s.share).source == "init"


def test_scores_that_are_all_the_same_have_no_shares() -> None:
    assert variance.shares(np.ones((1, 3, 4)), 0.05) is None


def test_sampled_maps_crossed_by_hand() -> None:
    y = RNG.normal(0, 2, (5, 1)) + RNG.normal(0, 1, (5, 6))
    found = variance.sampled(y, None, 0.05)
    assert found is not None
    residual = y - y.mean(0) - y.mean(1)[:, None] + y.mean()
    noise = (residual**2).sum() / 20
    f = 6 * y.mean(1).var(ddof=1) / noise
    assert found.p == pytest.approx(stats.f.sf(f, 4, 20))
    assert found.sd_noise == pytest.approx(np.sqrt(noise))
    ratio = (f - 1) / 6
    assert found.share == pytest.approx(ratio / (1 + ratio))
    low = max(0.0, (f / stats.f.ppf(0.975, 4, 20) - 1) / 6)
    assert found.interval[0] == pytest.approx(low / (1 + low))


def test_one_map_a_seed_tells_map_from_noise_by_the_fixed_arms() -> None:
    """Their common luck is taken out; a map's own variance is left."""
    luck, n = RNG.normal(0, 5, 400), 400
    fixed = luck + RNG.normal(0, 1, (3, n)) + np.array([[0], [2], [4]])
    same = variance.sampled(luck + RNG.normal(0, 1, n), fixed, 0.05)
    other = variance.sampled(luck + RNG.normal(0, 1, n) + RNG.normal(0, 2, n), fixed, 0.05)
    assert same is not None and other is not None
    assert same.p > 0.001 and same.interval[0] < 0.1
    assert other.sd_map == pytest.approx(2, rel=0.15) and other.share == pytest.approx(
        0.8, abs=0.05
    )


def test_several_tasks_are_a_sample_of_tasks() -> None:
    """Balanced: the mixed model's difference is the mean of the tasks' differences, and its error
    that of the tasks as units."""
    off = {"A": 0.2, "B": 1.1, "C": -0.4, "D": 0.9}
    items = [
        Score(task, "copied", "3", strategy, seed, "accuracy",
              70 + 5 * i + gap * (strategy == "reverse") + RNG.normal(0, 0.3))
        for i, (task, gap) in enumerate(off.items())
        for strategy in ("forward", "reverse")
        for seed in range(6)
    ]  # fmt: skip
    found = mixed.over_tasks(items, 1, 0.05, seeded=True)
    assert found is not None and (found.tasks, found.n) == (4, 48)
    means = [
        np.mean([s.score for s in items if (s.task, s.strategy) == (t, "reverse")])
        - np.mean([s.score for s in items if (s.task, s.strategy) == (t, "forward")])
        for t in off
    ]
    (effect,) = found.effects
    assert effect.effect == pytest.approx(np.mean(means), abs=1e-3)
    assert effect.se == pytest.approx(np.std(means, ddof=1) / 2, rel=0.02)


def test_mcnemar_by_hand() -> None:
    a = np.array([1] * 10 + [1] * 6 + [0] * 1 + [0] * 3, dtype=bool)
    b = np.array([1] * 10 + [0] * 6 + [1] * 1 + [0] * 3, dtype=bool)
    found = examples.mcnemar(3, a, b)
    assert (found.seed, found.only_strategy, found.only_reference) == (3, 6, 1)
    assert found.agreement == pytest.approx(13 / 20)
    assert found.p == pytest.approx(stats.binomtest(1, 7).pvalue)


def test_the_closed_form_is_the_two_level_bootstrap() -> None:
    """Rows and columns drawn with replacement, many times over."""
    d = RNG.normal(0, 1, (5, 1)) + RNG.normal(0, 1, (1, 40)) + RNG.normal(0, 3, (5, 40))
    rng, times = np.random.default_rng(0), 20_000
    rows = rng.multinomial(5, [1 / 5] * 5, times) / 5
    columns = rng.multinomial(40, [1 / 40] * 40, times) / 40
    means = np.einsum("bi,ij,bj->b", rows, d, columns)
    assert sum(examples.variances(d)) == pytest.approx(means.var(), rel=0.05)


def test_the_same_predictions_differ_by_nothing() -> None:
    right = RNG.random((3, 50)) < 0.8
    assert examples.two_level(right, right, 0.9) == (0.0, 0.0)


def test_maps_that_score_alike_under_every_seed_do_not_differ() -> None:
    found = variance.shares(np.array([[[80.0, 81.0, 79.0]] * 3]), 0.1)
    assert found is not None and found.p_map == 1.0
    assert {s.source: s.share for s in found.sources}["seed"] == pytest.approx(1.0)
