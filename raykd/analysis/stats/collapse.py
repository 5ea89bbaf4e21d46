"""Collapses: runs that end far below the other runs of their arm, or at the majority class.

A run has collapsed if its score lies below its arm's median by more than `FAR` robust SDs and more
than `FLOOR` margins, after removal of the median of its seed over all arms (two-way median polish,
Tukey 1977). The robust SD is 1.4826 times the median absolute deviation, of the arm or of the whole
cell, whichever is larger. An arm with fewer than three runs has no such run. Simulated in
benchmarks/simulation.md. If at least half of an arm's runs collapse, or most arms under one seed,
medians are those of collapsed runs; `apart` detects these.

A t test over a few seeds cannot detect an event in one run of twenty. Each arm therefore states the
number of its collapsed runs, and an upper bound of the collapse rate (Clopper and Pearson 1934).
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from raykd.analysis.stats.paired import Array

FAR = 6  # robust SDs below the arm's median
FLOOR = 2  # margins below the arm's median
FEWEST = 3  # minimum number of runs of an arm, and of arms of a seed, for a median
TO_SD = 1.4826  # from median absolute deviation to SD, for normal scores
LEVEL = 0.95


@dataclass(frozen=True)
class Count:
    """An arm's count: `k` of `n` runs. `upper`: exact one-sided 95 % bound of the rate."""

    strategy: str
    k: int
    n: int
    upper: float


@dataclass(frozen=True)
class Counts:
    """Counts of every arm of a cell. `p`: Fisher's exact test of the arm with the clearest excess
    against all others, times the number of arms; None if no run is counted, or if all are."""

    arms: tuple[Count, ...]
    strategy: str | None
    p: float | None
    says: str


def far_below(scores: Array, margin: float) -> Array:
    """Return which runs lie far below their arm. scores: [..., seeds, arms], larger is better, NaN
    for absent runs."""
    scores = np.asarray(scores, dtype=float)
    present = ~np.isnan(scores)
    runs = present.sum(axis=-2, keepdims=True)
    with warnings.catch_warnings(), np.errstate(divide="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # a seed or an arm without a run
        residuals = scores - np.nanmedian(scores, axis=-2, keepdims=True)
        seed_effect = np.nanmedian(residuals, axis=-1, keepdims=True)
        residuals = residuals - np.where(
            present.sum(axis=-1, keepdims=True) >= FEWEST, seed_effect, 0.0
        )
        residuals = residuals - np.nanmedian(residuals, axis=-2, keepdims=True)
        arm_scatter = np.nanmedian(np.abs(residuals), axis=-2, keepdims=True)
        cell_scatter = np.nanmedian(np.abs(residuals), axis=(-2, -1), keepdims=True)
        few = runs / np.maximum(runs - 1, 1)  # the median of few runs is one of them
        far = FAR * TO_SD * few * np.fmax(arm_scatter, cell_scatter)
        below: Array = -residuals > np.fmax(far, FLOOR * margin)
    return below & present & (runs >= FEWEST)


def apart(scores: Array, margin: float) -> Array:
    """Return which runs of a cell lie below a gap in their arm; shapes as for `far_below`. This
    covers arms of which at least half of the runs collapsed, and seeds under which most arms did:
    their medians are those of collapsed runs.

    The largest gap within an arm counts if it is as wide as `far_below` requires, relative to the
    scatter on both of its sides and to that of the cell. The runs below it collapsed if another arm
    did not fall by half as much under the same seed, and if they are fewer than the runs above it
    or farther from the other arms.
    """
    scores = np.asarray(scores, dtype=float)
    collapsed = np.zeros(scores.shape, dtype=bool)
    if scores.shape[1] < 2:
        return collapsed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a seed or an arm without a run
        moved = scores - np.nanmedian(scores, axis=0)
        scatter = float(np.nanmedian(np.abs(moved)))
        for arm in range(scores.shape[1]):
            present = np.flatnonzero(~np.isnan(scores[:, arm]))
            if len(present) < FEWEST:
                continue
            order = present[np.argsort(scores[present, arm])]
            runs = scores[order, arm]
            cut = int(np.diff(runs).argmax()) + 1
            low, high = runs[:cut], runs[cut:]
            gap = high[0] - low[-1]
            local_scatter = np.median(np.abs([*(low - np.median(low)), *(high - np.median(high))]))
            far = FAR * TO_SD * len(runs) / (len(runs) - 1) * max(scatter, local_scatter)
            others = np.delete(scores, arm, axis=1)
            typical = float(np.nanmedian(np.nanmedian(others, axis=0)))
            low_is_apart = len(low) < len(high) or abs(np.median(high) - typical) < abs(
                np.median(low) - typical
            )
            if gap > max(far, FLOOR * margin) and low_is_apart:
                steady = (np.nanmax(others, axis=0) - others < gap / 2).any(axis=1)
                collapsed[order[:cut], arm] = steady[order[:cut]]
    return collapsed


def upper_bound(k: int, n: int) -> float:
    """Return the rate above which k or fewer events in n runs have probability 0.05 at most."""
    return 1.0 if k >= n else float(stats.beta.ppf(LEVEL, k + 1, n - k))


def compare(counts: Sequence[tuple[str, int, int]]) -> tuple[str | None, float | None]:
    """Return (arm, p) of the arm with the clearest excess over all others. counts: (arm, k, n)."""
    k, n = sum(c[1] for c in counts), sum(c[2] for c in counts)
    if len(counts) < 2 or not 0 < k < n:
        return None, None
    tests = [
        (float(stats.fisher_exact([[a, b - a], [k - a, n - b - (k - a)]]).pvalue), -a / b, name)
        for name, a, b in counts
        if b
    ]
    p, _, strategy = min(tests)
    return strategy, min(1.0, p * len(tests))


def counts(by_arm: Mapping[str, tuple[int, int]]) -> tuple[Count, ...]:
    return tuple(Count(a, k, n, upper_bound(k, n)) for a, (k, n) in by_arm.items())


def collapses(by_arm: Mapping[str, tuple[int, int]], untested: Collection[str] = ()) -> Counts:
    """Summarise the collapses (k of n) by arm, with the upper bound of the rate in the arms under
    test. `untested`: arms not under test, such as controls."""
    arms = counts(by_arm)
    strategy, p = compare([(c.strategy, c.k, c.n) for c in arms])
    nonzero = [c for c in arms if c.k]
    listed = ", ".join(f"{c.strategy} {c.k} of {c.n}" for c in nonzero)
    worst = max((c for c in arms if c.strategy not in untested), key=lambda c: c.upper)
    says = f"collapsed runs: {listed}" if nonzero else "no run collapsed"
    if p is not None:
        says += f" ({_test(strategy, p)})"
    says += (
        f"; a collapse rate of up to {100 * worst.upper:.2g} % is not excluded ({worst.strategy}, "
        f"exact 95 % bound of {worst.k} of {worst.n} runs), and the tests do not see rare collapses"
    )
    return Counts(arms, strategy, p, says)


def lost(by_arm: Mapping[str, tuple[int, int]]) -> Counts | None:
    """Summarise the missing runs (k of n) by arm; None without any."""
    if not any(k for k, _ in by_arm.values()):
        return None
    arms = counts(by_arm)
    strategy, p = compare([(c.strategy, c.k, c.n) for c in arms])
    listed = ", ".join(f"{c.strategy} {c.k} of {c.n}" for c in arms if c.k)
    others = "" if all(c.k for c in arms) else ", the other arms none"
    test = "" if p is None else f" ({_test(strategy, p)})"
    return Counts(arms, strategy, p, f"missing runs: {listed}{others}{test}")


def _test(strategy: str | None, p: float) -> str:
    shown = f"p {p:.2g}" if p >= 0.001 else "p below 0.001"
    return f"{strategy} against all other arms: Fisher's exact test, {shown}"
