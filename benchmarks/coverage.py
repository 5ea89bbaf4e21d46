"""Coverage of the verdict's other intervals on simulated data whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks.noise import ALPHA, OTHERS, Truth, draw
from raykd.analysis.stats import examples, variance
from raykd.analysis.stats import spread as ratio


def slack(rate: float, sweeps: int) -> float:
    """Four standard errors of a simulated share."""
    return 4 * float(np.sqrt(rate * (1 - rate) / sweeps))


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
        correct = rng.normal(0, 1, (2, seeds, size)) < odds
        low, high = examples.two_level(correct[0], correct[1], nominal)
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
        components = variance.shares(table[None], 1 - nominal)
        crossed = variance.sampled(table, None, 1 - nominal)
        fixed = luck + noise[:3] + np.arange(3)[:, None]
        single = variance.sampled(rng.normal(size=seeds) + luck + noise[4], fixed, 1 - nominal)
        assert components and crossed and single
        bounds = [components.sources[0].interval, components.sources[1].interval, crossed.interval,
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
    intervals = [ratio.against_gain(s, b, ALPHA) for s, b in zip(scores, none, strict=True)]
    result = []
    for name in ("interval", "bootstrap"):
        bounds = [getattr(f, name) for f in intervals if getattr(f, name) is not None]
        if bounds:
            inside = np.mean([low <= 0.5 <= high for low, high in bounds])
            labels = {"interval": "H3's ratio", "bootstrap": "H3's ratio, bootstrap (shown only)"}
            result.append(Coverage(labels[name], seeds, 0.9, float(inside), len(bounds)))
    return result
