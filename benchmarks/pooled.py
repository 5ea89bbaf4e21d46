"""Error of the pooled interval (raykd/analysis/stats/pooled.py) beside that of the paired one. Part
of benchmarks/simulate.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.coverage import slack
from raykd.analysis.stats import paired
from raykd.analysis.stats.pooled import ERRORS, NOISIER, SIMULATED, bounds

NOISES = {"equal": 1.0, "variance x 2.5": float(np.sqrt(NOISIER)), "SD x 2.5": NOISIER}
"""SD of the last arm, in units of that of the other arms."""
SEEDS = (3, 5, 10, 20)
ARMS = tuple(ERRORS)


@dataclass(frozen=True)
class Errors:
    """Shares of sweeps in which a 90 % interval misses the difference of the last arm to forward;
    `quieter`: that of another arm. `width`: of the pooled interval, in units of the paired one."""

    noise: str
    arms: int
    seeds: int
    sweeps: int
    pooled: float
    paired: float
    quieter: float
    width: float


def errors(noise: str, arms: int, seeds: int, sweeps: int, seed: int = 0) -> Errors:
    rng = np.random.default_rng([seed, arms, seeds, *noise.encode()])
    sd = np.array([1.0] * (arms - 1) + [NOISES[noise]])
    luck = rng.normal(0, 2, (sweeps, seeds, 1))
    scores = luck + rng.standard_normal((sweeps, seeds, arms)) * sd  # no true difference
    _, low, high = bounds(scores, SIMULATED)
    missed = (low > 0) | (high < 0)
    mean, own = paired.summary(scores[..., -1] - scores[..., 0])
    own_low, own_high = paired.interval(mean, own, seeds, SIMULATED)
    return Errors(
        noise, arms, seeds, sweeps,
        pooled=float(missed[:, -1].mean()),
        paired=float(((own_low > 0) | (own_high < 0)).mean()),
        quieter=float(missed[:, 0].mean()),
        width=float((high - low)[:, -1].mean() / (own_high - own_low).mean()),
    )  # fmt: skip


def all_errors(sweeps: int) -> Iterator[Errors]:
    for noise in NOISES:
        for arms in ARMS:
            for seeds in SEEDS:
                yield errors(noise, arms, seeds, sweeps)


def stated(results: Sequence[Errors]) -> dict[int, tuple[float, float]]:
    """The worst error over seeds by number of arms: of the larger SD, and of the larger variance.
    They are the ERRORS of raykd/analysis/stats/pooled.py."""

    def worst(noise: str, arms: int) -> float:
        return round(max(r.pooled for r in results if (r.noise, r.arms) == (noise, arms)), 2)

    return {arms: (worst("SD x 2.5", arms), worst("variance x 2.5", arms)) for arms in ARMS}


def faults(results: Sequence[Errors]) -> list[str]:
    """Errors under equal noise that differ from the nominal one."""
    nominal = 1 - SIMULATED
    return [
        f"{r}" for r in results
        if r.noise == "equal" and abs(r.pooled - nominal) > slack(nominal, r.sweeps)
    ]  # fmt: skip


def table(results: Sequence[Errors]) -> str:
    lines = ["| noise of one strategy | arms | seeds | pooled misses | paired misses | pooled, "
             "another arm | pooled width / paired |", "|" + "---|" * 7]  # fmt: skip
    lines += [
        f"| {r.noise} | {r.arms} | {r.seeds} | {r.pooled:.3f} | {r.paired:.3f} | {r.quieter:.3f} | "
        f"{r.width:.2f} |"
        for r in results
    ]
    return "\n".join(lines)
