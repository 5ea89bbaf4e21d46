"""Simulated sweeps whose truth is known, judged by the verdict's own functions.

Each sweep has `none`, forward and four other strategies, one of which is off by `effect`; scores
share their seed's luck. Margin 1, alpha 0.05. `sd` is of a paired difference between two arms of
ordinary noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from raykd.analysis import examples, gap, ratio, tost, variance
from raykd.analysis.holm import claim
from raykd.analysis.power import above_power, all_of, beyond_power, tost_power

ALPHA, MARGIN, OTHERS = 0.05, 1.0, 4
STEP = 0.5  # of a coarse score: accuracy in percent over 200 test examples
NOISES = ("normal", "unequal", "heavy", "coarse")
EFFECTS = (0.0, 0.5, 1.0, 2.0)
SDS = (0.5, 1.5)
SEEDS = (2, 3, 4, 5, 7, 10, 14, 20)


@dataclass(frozen=True)
class Truth:
    noise: str
    sd: float
    effect: float
    seeds: int


@dataclass(frozen=True)
class Rates:
    """Shares of sweeps. H3's bound is the true ratio, where both answers are wrong; None where an
    effect of 0 leaves no ratio. `predicted` is what `raykd power` says for one comparison, exact
    for normal noise of equal size."""

    h1_supported: float
    h1_contradicted: float
    h2_supported_without_gain: float
    h2_contradicted_without_gain: float
    h3_supported: float | None
    h3_contradicted: float | None
    h5_supported: float
    h5_contradicted: float
    one_equivalent: float
    one_equivalent_predicted: float
    one_beyond: float
    one_beyond_predicted: float
    all_equivalent_predicted_at_least: float
    all_better: float
    all_better_predicted_at_least: float
    coverage_paired_90: float
    coverage_gap_95: float


def draw(truth: Truth, sweeps: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores [sweeps, seeds, 1 + OTHERS] (forward first, the one that is off last), and of an arm
    without matching whose true score is 0, as forward's is: [sweeps, seeds]."""
    shape = (sweeps, truth.seeds, 2 + OTHERS)
    sd = np.full(2 + OTHERS, truth.sd / np.sqrt(2))
    if truth.noise == "unequal":
        sd = sd * np.array([1.0, 1.0, 0.3, 1.0, 2.0, 3.0])
    noise = rng.standard_t(3, shape) / np.sqrt(3) if truth.noise == "heavy" else (
        rng.standard_normal(shape)
    )  # fmt: skip
    scores = rng.normal(0, 2, (sweeps, truth.seeds, 1)) + noise * sd
    scores[..., -1] += truth.effect
    if truth.noise == "coarse":
        scores = np.round(scores / STEP) * STEP
    return scores[..., 1:], scores[..., 0]


def rates(truth: Truth, sweeps: int, seed: int) -> Rates:
    scores, none = draw(truth, sweeps, np.random.default_rng(seed))
    n, step = truth.seeds, STEP if truth.noise == "coarse" else 0.0
    mean, sd = tost.summary(np.moveaxis(scores[..., 1:] - scores[..., :1], 1, 2), step)
    p_for, p_against = tost.p_tost(mean, sd, n, MARGIN), tost.p_beyond(mean, sd, n, MARGIN)
    h1 = claim(p_for, p_against, ALPHA)
    gain, gain_sd = tost.summary(np.moveaxis(scores - none[..., None], 1, 2), step)
    without = gain - np.array([*[0.0] * OTHERS, truth.effect])  # the same noise, nothing gained
    h2 = claim(tost.p_above(without, gain_sd, n, 0), tost.p_below(without, gain_sd, n, 0), ALPHA)
    real = claim(
        tost.p_above(gain + 2, gain_sd, n, 0), tost.p_below(gain + 2, gain_sd, n, 0), ALPHA
    )
    off, off_sd = mean[:, -1:], sd[:, -1:]
    h5 = claim(tost.p_below(off, off_sd, n, MARGIN), tost.p_above(off, off_sd, n, MARGIN), ALPHA)
    h3 = None
    if truth.effect:  # the gain is put at twice the spread, so that the true ratio is the bound
        matched = truth.effect / (1 + OTHERS)
        h3 = ratio.claim(scores, none + matched - truth.effect / ratio.SMALL, ALPHA)
    low, high = tost.interval(off, off_sd, n, 1 - 2 * ALPHA)
    gap_low, gap_high = gap.bounds(scores, 1 - ALPHA, step)
    sd_off = truth.sd * np.sqrt((1 + 9) / 2) if truth.noise == "unequal" else truth.sd
    effects = [0.0] * (OTHERS - 1) + [truth.effect]
    level = ALPHA / OTHERS
    everyone = all_of([_equal(truth.sd, effect, level) for effect in effects])
    gains = [2.0] * OTHERS + [2 + truth.effect]
    better = all_of([_above(truth.sd, gain, ALPHA / len(gains)) for gain in gains])
    share = np.mean
    return Rates(
        h1_supported=float(share(h1[0])),
        h1_contradicted=float(share(h1[1])),
        h2_supported_without_gain=float(share(h2[0])),
        h2_contradicted_without_gain=float(share(h2[1])),
        h3_supported=None if h3 is None else float(share(h3[0])),
        h3_contradicted=None if h3 is None else float(share(h3[1])),
        h5_supported=float(share(h5[0])),
        h5_contradicted=float(share(h5[1])),
        one_equivalent=float(share(p_for[:, -1] <= ALPHA)),
        one_equivalent_predicted=tost_power(n, sd_off, MARGIN, truth.effect, ALPHA),
        one_beyond=float(share(p_against[:, -1] <= ALPHA)),
        one_beyond_predicted=beyond_power(n, sd_off, MARGIN, truth.effect, ALPHA),
        all_equivalent_predicted_at_least=max(0.0, everyone(n)),
        all_better=float(share(real[0])),
        all_better_predicted_at_least=max(0.0, better(n)),
        coverage_paired_90=float(share((low <= truth.effect) & (truth.effect <= high))),
        coverage_gap_95=float(share((gap_low <= truth.effect) & (truth.effect <= gap_high))),
    )


def _equal(sd: float, effect: float, level: float) -> Callable[[int], float]:
    return lambda n: tost_power(n, sd, MARGIN, effect, level)


def _above(sd: float, gain: float, level: float) -> Callable[[int], float]:
    return lambda n: above_power(n, sd, 0, gain, level)


def cells() -> Iterator[Truth]:
    for noise in NOISES:
        for sd in SDS:
            for effect in EFFECTS:
                for seeds in SEEDS:
                    yield Truth(noise, sd, effect, seeds)


def slack(rate: float, sweeps: int) -> float:
    """Four standard errors of a simulated share."""
    return 4 * float(np.sqrt(rate * (1 - rate) / sweeps))


def faults(truth: Truth, found: Rates, sweeps: int) -> list[str]:
    """What does not hold: a wrong answer more often than alpha, an interval that covers less than
    it says, power other than predicted."""
    most, f = ALPHA + slack(ALPHA, sweeps), []
    wrong: dict[str, float | None] = {
        "h2_supported_without_gain": found.h2_supported_without_gain,
        "h2_contradicted_without_gain": found.h2_contradicted_without_gain,
        "h3_supported": found.h3_supported,
        "h3_contradicted": found.h3_contradicted,
    }
    if truth.effect >= MARGIN:
        wrong |= {"h1_supported": found.h1_supported, "h5_supported": found.h5_supported}
    if truth.effect <= MARGIN:
        wrong |= {
            "h1_contradicted": found.h1_contradicted, "h5_contradicted": found.h5_contradicted,
        }  # fmt: skip
    f += [f"{name} {rate:.3f}" for name, rate in wrong.items() if rate is not None and rate > most]
    for name, nominal in (("coverage_paired_90", 0.9), ("coverage_gap_95", 0.95)):
        if getattr(found, name) < nominal - slack(nominal, sweeps):
            f.append(f"{name} {getattr(found, name):.3f}")
    if truth.noise == "normal":
        for name in ("one_equivalent", "one_beyond"):
            said = getattr(found, f"{name}_predicted")
            if abs(getattr(found, name) - said) > slack(said, sweeps) + 2 / sweeps:
                f.append(f"{name} {getattr(found, name):.3f}, predicted {said:.3f}")
        if abs(found.coverage_paired_90 - 0.9) > slack(0.9, sweeps):
            f.append(f"coverage_paired_90 {found.coverage_paired_90:.3f}")
        for name, said in (
            ("h1_supported", found.all_equivalent_predicted_at_least),
            ("all_better", found.all_better_predicted_at_least),
        ):
            if getattr(found, name) < said - slack(said, sweeps) - 2 / sweeps:
                f.append(f"{name} {getattr(found, name):.3f}, predicted at least {said:.3f}")
    return f


@dataclass(frozen=True)
class Coverage:
    what: str
    seeds: int
    nominal: float
    covered: float
    sweeps: int


def two_level(seeds: int, sweeps: int, rng: np.random.Generator) -> Coverage:
    """A true difference of 1 point in accuracy; new seeds and new test examples each time."""
    inside, size, nominal = 0, 400, 0.9
    for _ in range(sweeps):
        hard = rng.normal(0, 1.5, size)
        luck = rng.normal(0, 0.15, (2, seeds, 1))
        odds = hard + luck + np.array([1.06, 1.0])[:, None, None]
        right = rng.normal(0, 1, (2, seeds, size)) < odds
        low, high = examples.two_level(right[0], right[1], nominal)
        inside += low <= _true_gap() <= high
    return Coverage("difference over seeds and test examples", seeds, nominal, inside / sweeps,
                    sweeps)  # fmt: skip


def _true_gap() -> float:
    spread = np.sqrt(1 + 1.5**2 + 0.15**2)
    return float(100 * (stats.norm.cdf(1.06 / spread) - stats.norm.cdf(1.0 / spread)))


def shares(seeds: int, sweeps: int, rng: np.random.Generator) -> list[Coverage]:
    """Map, seed and noise of SD 1 each; six maps; and the two designs of the sampled-maps test."""
    inside, nominal, k = np.zeros(4), 0.95, 6
    for _ in range(sweeps):
        luck, noise = rng.normal(size=seeds), rng.normal(size=(k, seeds))
        table = rng.normal(size=(k, 1)) + luck + noise
        found = variance.shares(table[None], 1 - nominal)
        crossed = variance.sampled(table, None, 1 - nominal)
        fixed = luck + noise[:3] + np.arange(3)[:, None]
        single = variance.sampled(rng.normal(size=seeds) + luck + noise[4], fixed, 1 - nominal)
        assert found and crossed and single
        bounds = [found.sources[0].interval, found.sources[1].interval, crossed.interval,
                  single.interval]  # fmt: skip
        truths = np.array([1 / 3, 1 / 3, 1 / 2, 1 / 2])
        inside += [low <= t <= high for (low, high), t in zip(bounds, truths, strict=True)]
    names = ("share of the map", "share of the seed", "sampled maps, crossed",
             "sampled maps, one a seed")  # fmt: skip
    return [Coverage(a, seeds, nominal, float(c / sweeps), sweeps) for a, c in
            zip(names, inside, strict=True)]  # fmt: skip


def ratios(seeds: int, sweeps: int, rng: np.random.Generator) -> list[Coverage]:
    """H3's interval that decides, and the bootstrap that is shown beside it: true ratio 0.5."""
    truth = Truth("normal", 0.5, 1.0, seeds)
    scores, none = draw(truth, sweeps, rng)
    none = none + truth.effect / (1 + OTHERS) - truth.effect / 0.5
    found = [ratio.against_gain(s, b, ALPHA) for s, b in zip(scores, none, strict=True)]
    result = []
    for name in ("interval", "bootstrap"):
        bounds = [getattr(f, name) for f in found if getattr(f, name) is not None]
        if bounds:
            inside = np.mean([low <= 0.5 <= high for low, high in bounds])
            what = {"interval": "H3's ratio", "bootstrap": "H3's ratio, bootstrap (shown only)"}
            result.append(Coverage(what[name], seeds, 0.9, float(inside), len(bounds)))
    return result
