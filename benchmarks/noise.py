"""Scores of simulated sweeps whose truth is known.

Each sweep has `none`, forward and four other strategies, `off` of which are off by `effect`; the
scores of a seed share its luck. Margin 1. `sd` is of a paired difference between two arms of
ordinary noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

ALPHA, MARGIN, OTHERS = 0.05, 1.0, 4
STEP = 0.5  # of a coarse score: accuracy in percent over 200 test examples
NOISES = ("normal", "unequal", "heavy", "coarse")
RATES = {"collapse 1 %": 0.01, "collapse 5 %": 0.05, "collapse 10 %": 0.1}
UNFAIR = ("skew", "missing", *RATES)
"""Noise of the strategies that are off: a long lower tail (exponential); the worst fifth of its
runs, at least one, is missing; most runs are like forward's, and few lose so much that the mean is
off."""
NAMED = tuple(noise for noise in UNFAIR if noise != "missing")
"""Noise for which the stated error rates do not hold, as README says."""
EFFECTS = (0.0, 0.5, 1.0, 2.0)
UNFAIR_EFFECTS = (-2.0, -1.0, -0.5, 1.0)
SDS = (0.5, 1.5)
SEEDS = (2, 3, 4, 5, 7, 10, 14, 20)


@dataclass(frozen=True)
class Truth:
    noise: str
    sd: float
    effect: float
    seeds: int
    off: int = 1
    """How many strategies are off by the effect."""


def draw(truth: Truth, sweeps: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores [sweeps, seeds, 1 + OTHERS] (forward first, those that are off last; NaN where a run
    is missing), and of an arm without matching whose true score is 0, as forward's is:
    [sweeps, seeds]."""
    shape = (sweeps, truth.seeds, 2 + OTHERS)
    sd = np.full(2 + OTHERS, truth.sd / np.sqrt(2))
    if truth.noise == "unequal":
        sd = sd * np.array([1.0, 1.0, 0.3, 1.0, 2.0, 3.0])
    noise = rng.standard_t(3, shape) / np.sqrt(3) if truth.noise == "heavy" else (
        rng.standard_normal(shape)
    )  # fmt: skip
    if truth.noise == "skew":
        noise[..., -truth.off :] = 1 - rng.standard_exponential((*shape[:2], truth.off))
    scores = rng.normal(0, 2, (sweeps, truth.seeds, 1)) + noise * sd
    effect: float | np.ndarray = truth.effect
    if truth.noise in RATES:
        rate = RATES[truth.noise]
        effect = truth.effect / rate * (rng.random((*shape[:2], truth.off)) < rate)
    scores[..., -truth.off :] += effect
    if truth.noise == "coarse":
        scores = np.round(scores / STEP) * STEP
    if truth.noise == "missing":
        worst = np.argsort(scores[..., -truth.off :], axis=1)[:, : lost(truth)]
        np.put_along_axis(scores[..., -truth.off :], worst, np.nan, axis=1)
    return scores[..., 1:], scores[..., 0]


def lost(truth: Truth) -> int:
    """Number of missing runs of each strategy that is off."""
    return max(1, round(truth.seeds / 5)) if truth.noise == "missing" else 0


def cells() -> Iterator[Truth]:
    for noise in NOISES:
        for sd in SDS:
            for effect in EFFECTS:
                for seeds in SEEDS:
                    yield Truth(noise, sd, effect, seeds)
    for off in (2, 3, 4):  # a claim about every strategy that fails for several
        for sd in SDS:
            for seeds in SEEDS:
                yield Truth("normal", sd, MARGIN, seeds, off)
    for noise in UNFAIR:
        for sd in SDS:
            for effect in UNFAIR_EFFECTS:
                if noise in RATES and effect > 0:
                    continue  # a collapse never helps
                for seeds in SEEDS:
                    truth = Truth(noise, sd, effect, seeds)
                    if seeds - lost(truth) > 1:
                        yield truth
