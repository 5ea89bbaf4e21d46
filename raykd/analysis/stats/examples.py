"""Uncertainty over test examples: McNemar per pair, a two-level bootstrap of seeds and examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from raykd.analysis.stats.paired import Array


@dataclass(frozen=True)
class McNemar:
    """Two students of one seed on the same test examples, and how many only one of them solves."""

    seed: int
    only_strategy: int
    only_reference: int
    agreement: float
    """Share of examples that both answer correctly or both incorrectly."""
    p: float


def mcnemar(seed: int, strategy: Array, reference: Array) -> McNemar:
    """Exact McNemar test: a binomial test of the examples that only one solves. strategy,
    reference: [examples] of booleans, in one order."""
    a, b = np.asarray(strategy, dtype=bool), np.asarray(reference, dtype=bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    differing = only_a + only_b
    p = float(stats.binomtest(only_a, differing).pvalue) if differing else 1.0
    return McNemar(seed, only_a, only_b, 1 - differing / len(a), p)


def two_level(strategy: Array, reference: Array, level: float) -> tuple[float, float]:
    """Interval of the difference in accuracy, in percent, over seeds and test examples at once.

    strategy, reference: [seeds, examples] of booleans, or of scores of examples from 0 to 1; at
    least two seeds. The variance of the mean when seeds and examples are resampled together
    (Multi-Bootstrap, arXiv 2106.16163; pigeonhole bootstrap, Owen 2007) has a closed form, see
    `variances`. It counts the noise of single entries three times, which is corrected by
    subtraction, and is too narrow with few seeds, which is corrected by t quantiles of each part
    (Howe 1974).
    """
    d = 100 * (np.asarray(strategy, dtype=float) - np.asarray(reference, dtype=float))
    n, examples = d.shape
    of_seeds, of_examples, of_both = variances(d)
    of_seeds *= n / (n - 1)
    of_examples *= examples / (examples - 1)
    of_both *= n / (n - 1) * examples / (examples - 1)
    few, many = stats.t.ppf((1 + level) / 2, [n - 1, examples - 1])
    half = float(np.sqrt(few**2 * of_seeds + many**2 * max(0.0, of_examples - of_both)))
    mean = float(d.mean())
    return mean - half, mean + half


def variances(d: Array) -> tuple[float, float, float]:
    """Return the three parts of the variance of the mean of d [seeds, examples] when rows and
    columns are resampled with replacement: rows, columns, and the residuals of the entries."""
    d = np.asarray(d, dtype=float)
    n, examples = d.shape
    rows, columns = d.mean(axis=1), d.mean(axis=0)
    residuals = d - rows[:, None] - columns + d.mean()
    return (
        float(rows.var() / n), float(columns.var() / examples),
        float((residuals**2).mean() / (n * examples)),
    )  # fmt: skip
