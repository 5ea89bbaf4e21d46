"""Error rates of H4's average in 10,000 simulated sweeps per cell of the simulation.

    python -m benchmarks.average    # half a minute on one core; writes average.json and average.md

A sweep has K cells (tasks, inits, shapes). In each, one strategy is compared with forward under n
seeds, and its true difference is off the mean by a normal deviation with SD tau. The verdict's own
functions judge (raykd/analysis/stats/random_effects.py). The usual weights, the inverse of the
estimated variances with Paule and Mandel's tau^2, are judged beside them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np

from raykd.analysis.stats.random_effects import (
    RandomEffects,
    mean_covariance,
    random_effects,
)

ALPHA, MARGIN = 0.05, 1.0
CELLS, SEEDS = (5, 8, 12, 20), (3, 5, 10)
TAUS = (0.0, 0.25, 0.5, 1.0)
SD = 0.8  # of a paired difference, in margins
FACTOR = 2.5  # of every second cell's SD, where they are unequal
SHARED = 0.3  # share of the variance that cells of one task have in common, by their seeds
ONE_TASK = ("one task, independent", "one task, dependent")
NOISES = ("equal", "unequal", *ONE_TASK)
HALVINGS = 25


@dataclass(frozen=True)
class Truth:
    """One cell of the simulation. `effect`: the mean over all cells like these, in margins."""

    cells: int
    seeds: int
    tau: float
    noise: str
    effect: float


@dataclass(frozen=True)
class Rates:
    equivalent: float
    different: float
    coverage: float
    equivalent_weighted: float | None
    """With the usual weights, where the mean is at the margin and cells are independent."""


def truths() -> Iterator[Truth]:
    for effect, noise, tau, cells, seeds in product((1.0, 0.0), NOISES, TAUS, CELLS, SEEDS):
        yield Truth(cells, seeds, tau, noise, effect)


def rates(truth: Truth, sweeps: int, seed: int) -> Rates:
    scores = _differences(truth, sweeps, np.random.default_rng(seed))
    effects, variances = scores.mean(-1), scores.var(-1, ddof=1) / truth.seeds
    # The cells are those of different tasks, or of one task and its seeds.
    tasks = truth.noise not in ONE_TASK
    covariance = 0.0 if tasks else mean_covariance(scores)
    found = random_effects(effects, variances, covariance, truth.seeds)
    weighted = _paule_mandel(effects, variances) if tasks and truth.effect == MARGIN else None
    low, high = found.interval(1 - 2 * ALPHA)
    return Rates(
        float((found.p_equivalent(MARGIN) <= ALPHA).mean()),
        float((found.p_beyond(MARGIN) <= ALPHA).mean()),
        float(((low <= truth.effect) & (truth.effect <= high)).mean()),
        None if weighted is None else float((weighted.p_equivalent(MARGIN) <= ALPHA).mean()),
    )


def _differences(truth: Truth, sweeps: int, rng: np.random.Generator) -> np.ndarray:
    """Paired differences, [sweeps, cells, seeds]."""
    sd = np.full(truth.cells, SD)
    if truth.noise == "unequal":
        sd[::2] *= FACTOR
    true = truth.effect + truth.tau * rng.normal(size=(sweeps, truth.cells))
    own = rng.normal(size=(sweeps, truth.cells, truth.seeds))
    if truth.noise == "one task, dependent":  # what a seed does, it does in all cells
        common = rng.normal(size=(sweeps, 1, truth.seeds))
        own = np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own
    return true[..., None] + sd[:, None] * own


def _paule_mandel(y: np.ndarray, v: np.ndarray) -> RandomEffects:
    """Weights 1 / (v + tau^2), with the tau^2 at which the weighted sum of squares is K - 1 (Paule
    and Mandel 1982), and Hartung and Knapp's variance, its factor at least 1 (Roever et al.
    2015)."""
    cells = y.shape[-1]

    def weighted(tau_squared: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        weights = 1 / (v + tau_squared[:, None])
        mean = (weights * y).sum(-1) / weights.sum(-1)
        return mean, weights.sum(-1), (weights * np.square(y - mean[:, None])).sum(-1)

    low, high = np.zeros(len(y)), y.var(-1, ddof=1)
    high = np.where(weighted(low)[2] <= cells - 1, 0.0, high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = weighted(middle)[2] > cells - 1
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    mean, total, squares = weighted(high)
    se = np.sqrt(np.maximum(1.0, squares / (cells - 1)) / total)
    return RandomEffects(mean, se, np.full(len(y), cells - 1.0), np.sqrt(high), cells)


def slack(rate: float, sweeps: int) -> float:
    """Four standard errors of a simulated rate."""
    return 4 * float(np.sqrt(rate * (1 - rate) / sweeps))


def faults(truth: Truth, found: Rates, sweeps: int) -> list[str]:
    """What does not hold of a cell."""
    limit, result = ALPHA + slack(ALPHA, sweeps), []
    wrong = max(found.equivalent, found.different) if truth.effect == MARGIN else found.different
    if wrong > limit:
        result.append(f"errs {wrong:.3f}")
    if found.coverage < 1 - 2 * ALPHA - slack(2 * ALPHA, sweeps):
        result.append(f"covers {found.coverage:.3f}")
    return result


def table(results: list[tuple[Truth, Rates]]) -> str:
    """A row for each noise and number of cells and seeds: the worst over tau where the mean is at
    the margin, and the power where it is 0 and tau is at most 0.25."""
    heads = ("noise", "cells", "seeds", "wrongly equivalent", "wrongly different", "90 % covers",
             "wrongly equivalent, usual weights", "power at 0")  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for noise, cells, seeds in product(NOISES, CELLS, SEEDS):
        here = [(t, r) for t, r in results if (t.noise, t.cells, t.seeds) == (noise, cells, seeds)]
        at_margin = [r for t, r in here if t.effect == MARGIN]
        usual = [r.equivalent_weighted for r in at_margin if r.equivalent_weighted is not None]
        power = min(r.equivalent for t, r in here if t.effect == 0 and t.tau <= 0.25)
        lines.append(
            f"| {noise} | {cells} | {seeds} | {max(r.equivalent for r in at_margin):.3f} | "
            f"{max(r.different for r in at_margin):.3f} | "
            f"{min(r.coverage for _, r in here):.3f} | "
            f"{f'{max(usual):.3f}' if usual else '-'} | {power:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "average")
    arguments = parser.parse_args()
    sweeps = arguments.sweeps
    results = [(t, rates(t, sweeps, seed=i)) for i, t in enumerate(truths())]
    wrong = [f"{t}: {fault}" for t, r in results for fault in faults(t, r, sweeps)]
    record = {
        "sweeps": sweeps, "alpha": ALPHA, "margin": MARGIN, "faults": wrong,
        "cells": [{**asdict(t), **asdict(r)} for t, r in results],
    }  # fmt: skip
    arguments.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    arguments.out.with_suffix(".md").write_text(
        f"""# Simulated rates of H4's average

Written by `python -m benchmarks.average`: {sweeps:,} sweeps in each of {len(results)} cells of the
simulation, alpha {ALPHA}, margin {MARGIN:g}. One strategy is compared with forward in several cells
(tasks, inits, shapes) under a few seeds each. The SD of a paired difference is {SD:g} margins,
{FACTOR:g} times as much in every second cell where it is unequal; the true differences of the
cells have an SD of {", ".join(f"{t:g}" for t in TAUS)} margins. What did not hold:
{len(wrong) or "nothing"}.

Each row has the worst over these SDs: errors where the true mean is at the margin (they should
not be above {ALPHA}; four standard errors: {ALPHA + slack(ALPHA, sweeps):.3f}), coverage
everywhere, and the power to show equivalence where the mean is 0 and the SD of the cells at most
0.25. The usual weights are the inverse of the estimated variances, with Paule and Mandel's variance
between cells: with few seeds they err too often, so the verdict gives all cells the same weight.

Cells of one task share its seeds. In the dependent rows {SHARED:g} of the variance is common to all
cells under a seed; it is estimated from the differences seed by seed, in the independent rows too.
What cells of one task have in common by their teacher, no number of seeds can show.

{table(results)}
""",
        encoding="utf-8",
    )  # fmt: skip
    print(f"{len(wrong)} faults", *wrong, sep="\n")


if __name__ == "__main__":
    main()
