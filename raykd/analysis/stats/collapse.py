"""Collapses: runs that end far below the other runs of their arm, or at the majority class.

A run has collapsed where its score lies below its arm's median by more than `FAR` robust SDs and
more than `FLOOR` margins, after the median of its seed over all arms is taken out (two-way median
polish, Tukey 1977). The robust SD is 1.4826 times the median absolute deviation, of the arm or of
the whole cell, whichever is larger. Of fewer than three runs neither is far from its arm. Simulated
in benchmarks/simulation.md. Where half of an arm's runs collapse or more, or most arms under one
seed, medians are those of collapsed runs; `apart` finds these.

A t test of a few seeds cannot see what happens in one run of twenty. So each arm states how many of
its runs collapsed, and up to which rate collapses cannot be excluded (Clopper and Pearson 1934).
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
FEWEST = 3  # runs of an arm, and arms of a seed, that have a middle
TO_SD = 1.4826  # of a median absolute deviation, normal scores
LEVEL = 0.95


@dataclass(frozen=True)
class Count:
    """`k` of an arm's `n` runs; `upper`: the exact one-sided 95 % bound of the rate."""

    strategy: str
    k: int
    n: int
    upper: float


@dataclass(frozen=True)
class Counts:
    """Of every arm of a cell. `p`: Fisher's exact test of the arm with the clearest excess against
    all others, times the number of arms; None where no run is counted, or all are."""

    arms: tuple[Count, ...]
    strategy: str | None
    p: float | None
    says: str


def far_below(scores: Array, margin: float) -> Array:
    """Which runs lie far below their arm. scores: [..., seeds, arms], larger is better, NaN where
    there is no run."""
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
        few = runs / np.maximum(runs - 1, 1)  # a median of few runs takes one of them as its centre
        far = FAR * TO_SD * few * np.fmax(arm_scatter, cell_scatter)
        below: Array = -residuals > np.fmax(far, FLOOR * margin)
    return below & present & (runs >= FEWEST)


def apart(scores: Array, margin: float) -> Array:
    """Which runs of a cell lie below a gap in their arm, [seeds, arms] as for `far_below`: half of
    an arm's runs or more have no median to be far from, and where most arms collapse under one seed
    its own median is theirs.

    The largest gap within an arm counts where it is as wide as `far_below` asks, of the scatter
    beside it and of the cell's. Runs below it collapsed where some other arm did not fall by half
    as much under that seed, and where they are fewer than those above it, or farther from the other
    arms.
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
    """The rate above which k or fewer events in n runs have probability 0.05 at most."""
    return 1.0 if k >= n else float(stats.beta.ppf(LEVEL, k + 1, n - k))


def compare(counts: Sequence[tuple[str, int, int]]) -> tuple[str | None, float | None]:
    """(arm, p) of the arm whose share of (name, k, n) stands out most from all others'."""
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


def collapses(by_arm: Mapping[str, tuple[int, int]], apart: Collection[str] = ()) -> Counts:
    """What the arms' collapses (k of n) say, and the rate that they do not exclude in the arms that
    the verdict is of; `apart`: the others, such as controls."""
    arms = counts(by_arm)
    strategy, p = compare([(c.strategy, c.k, c.n) for c in arms])
    nonzero = [c for c in arms if c.k]
    listed = ", ".join(f"{c.strategy} {c.k} of {c.n}" for c in nonzero)
    worst = max((c for c in arms if c.strategy not in apart), key=lambda c: c.upper)
    says = f"collapsed runs: {listed}" if nonzero else "no run collapsed"
    if p is not None:
        says += f" ({_test(strategy, p)})"
    says += (
        f"; a collapse rate of up to {100 * worst.upper:.2g} % is not excluded ({worst.strategy}, "
        f"exact 95 % bound of {worst.k} of {worst.n} runs), and the tests do not see rare collapses"
    )
    return Counts(arms, strategy, p, says)


def lost(by_arm: Mapping[str, tuple[int, int]]) -> Counts | None:
    """Runs that are missing (k of n) by arm; None where none is."""
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
