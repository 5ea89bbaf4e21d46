"""Simulated sweeps whose truth is known (noise.py), judged by the verdict's own functions. Alpha
0.05."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from benchmarks.coverage import Coverage, ratios, shares, slack, two_level
from benchmarks.noise import (
    ALPHA,
    EFFECTS,
    MARGIN,
    NOISES,
    OTHERS,
    SDS,
    SEEDS,
    STEP,
    UNFAIR,
    Truth,
    cells,
    draw,
    lost,
)
from raykd.analysis.scores.missing import filled
from raykd.analysis.stats import collapse, gap, paired, spread
from raykd.analysis.stats.paired import claim, holm
from raykd.analysis.stats.power import (
    above_power,
    all_equivalent_power,
    all_of,
    beyond_power,
    tost_power,
)

__all__ = [
    "ALPHA", "EFFECTS", "MARGIN", "NOISES", "OTHERS", "SDS", "SEEDS", "STEP", "UNFAIR", "Coverage",
    "Rates", "Truth", "cells", "draw", "faults", "rates", "ratios", "shares", "slack", "two_level",
    "wrong_answers",
]  # fmt: skip


@dataclass(frozen=True)
class Rates:
    """Shares of sweeps. H3's bound is the true ratio, where both answers are wrong; None where an
    effect of 0 leaves no ratio. `labels`: some strategy is wrongly called equivalent, different.
    `predicted` is what `raykd power` says, exact for normal noise of equal size. `flagged`: some
    run counts as collapsed. `by_survivors`: H1 supported by the runs that finished alone."""

    h1_supported: float
    h1_contradicted: float
    h2_supported_without_gain: float
    h2_contradicted_without_gain: float
    h3_supported: float | None
    h3_contradicted: float | None
    h5_supported: float
    h5_contradicted: float
    labels_equivalent: float
    labels_different: float
    one_equivalent: float
    one_equivalent_predicted: float
    one_beyond: float
    one_beyond_predicted: float
    all_equivalent_predicted_at_least: float
    all_equivalent_predicted: float | None
    all_better: float
    all_better_predicted_at_least: float
    coverage_paired_90: float
    coverage_gap_95: float | None
    flagged: float
    flagged_where_supported: float | None
    by_survivors: float


Pair = tuple[np.ndarray, np.ndarray]
Case = tuple[np.ndarray, np.ndarray, np.ndarray]
"""mean, sd and n of every comparison: [sweeps, comparisons]"""


def case(differences: np.ndarray, step: float) -> Case:
    """Mean, SD and count over the seeds that are present. differences: [sweeps, seeds,
    comparisons], NaN for a missing run"""
    counts = (~np.isnan(differences)).sum(axis=1)
    if not np.isnan(differences).any():
        mean, sd = paired.summary(np.moveaxis(differences, 1, 2), step)
        return mean, sd, counts
    sd = np.nanstd(differences, axis=1, ddof=1)
    return np.nanmean(differences, axis=1), np.maximum(sd, step), counts


def completed(table: np.ndarray) -> dict[str, np.ndarray]:
    """A table [sweeps, seeds, arms] with missing runs filled by the worst and by the best observed
    score; empty if no run is missing. Runs of forward and none are never missing here."""
    if not np.isnan(table).any():
        return {}
    arms = table.shape[-1]
    return {
        "low": filled(table, np.zeros(arms, bool)), "high": filled(table, np.ones(arms, bool)),
    }  # fmt: skip


Test = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def largest(test: Test, cases: Iterable[Case]) -> np.ndarray:
    """The p-value of the worst case."""
    p: np.ndarray = np.max([test(*c) for c in cases], axis=0)
    return p


def rates(truth: Truth, sweeps: int, seed: int) -> Rates:
    scores, none = draw(truth, sweeps, np.random.default_rng(seed))
    n, step = truth.seeds, STEP if truth.noise == "coarse" else 0.0
    table = np.concatenate([scores, none[..., None]], axis=-1)
    tables = {"seen": table, **completed(table)}
    worst_tables = {
        k: t for k, t in tables.items() if k != "high"
    }  # a failed run is never a good one
    effects = np.array([0.0] * (OTHERS + 1 - truth.off) + [truth.effect] * truth.off)

    to_forward = {k: case(t[..., 1:-1] - t[..., :1], step) for k, t in tables.items()}
    lower = [to_forward[k] for k in worst_tables]
    tests: dict[str, Test] = {
        "equivalent": lambda m, s, k: paired.p_tost(m, s, k, MARGIN),
        "beyond": lambda m, s, k: paired.p_beyond(m, s, k, MARGIN),
        "below": lambda m, s, k: paired.p_below(m[:, -1:], s[:, -1:], k[:, -1:], MARGIN),
        "above": lambda m, s, k: paired.p_above(m[:, -1:], s[:, -1:], k[:, -1:], MARGIN),
        "gain": lambda m, s, k: paired.p_above(m, s, k, 0),
        "loss": lambda m, s, k: paired.p_below(m, s, k, 0),
    }
    p_for = largest(tests["equivalent"], to_forward.values())
    p_against = largest(tests["beyond"], lower)
    h1 = claim(p_for, p_against, ALPHA)
    h5 = claim(largest(tests["below"], to_forward.values()), largest(tests["above"], lower), ALPHA)

    gains = {k: case(t[..., :-1] - t[..., -1:], step) for k, t in tables.items()}
    without_gain = {k: (m - effects, s, c) for k, (m, s, c) in gains.items()}  # nothing gained
    with_gain = {k: (m + 2, s, c) for k, (m, s, c) in gains.items()}
    h2 = claim(largest(tests["gain"], without_gain.values()),
               largest(tests["loss"], [without_gain[k] for k in worst_tables]), ALPHA)  # fmt: skip
    better = claim(largest(tests["gain"], with_gain.values()),
                   largest(tests["loss"], [with_gain[k] for k in worst_tables]), ALPHA)  # fmt: skip

    h3 = _h3(truth, tables, effects)
    equivalent, different = labels(p_for, p_against)
    off = np.abs(effects[1:]) >= MARGIN
    near = np.abs(effects[1:]) <= MARGIN
    mean, sd, count = (x[:, -1:] for x in to_forward["seen"])
    low, high = paired.interval(mean, sd, count, 1 - 2 * ALPHA)
    gap_inside = None
    if not lost(truth):
        gap_low, gap_high = gap.bounds(scores, 1 - ALPHA, step)
        size = abs(truth.effect)
        gap_inside = float(np.mean((gap_low <= size) & (size <= gap_high)))
    sd_off = truth.sd * np.sqrt((1 + 9) / 2) if truth.noise == "unequal" else truth.sd
    collapsed = collapse.far_below(table, MARGIN).any(axis=(1, 2))
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
        labels_equivalent=float(share((equivalent & off).any(axis=1))),
        labels_different=float(share((different & near).any(axis=1))),
        one_equivalent=float(share(p_for[:, -1] <= ALPHA)),
        one_equivalent_predicted=tost_power(n, sd_off, MARGIN, truth.effect, ALPHA),
        one_beyond=float(share(p_against[:, -1] <= ALPHA)),
        one_beyond_predicted=beyond_power(n, sd_off, MARGIN, truth.effect, ALPHA),
        all_equivalent_predicted_at_least=max(
            0.0, all_of([_equal(truth.sd, e) for e in effects[1:]])(n)
        ),
        all_equivalent_predicted=all_equivalent_power(n, truth.sd, MARGIN, 0.0, ALPHA, OTHERS)
        if truth.effect == 0 and truth.noise == "normal"
        else None,
        all_better=float(share(better[0])),
        all_better_predicted_at_least=max(
            0.0, all_of([_above(truth.sd, 2 + e) for e in effects])(n)
        ),
        coverage_paired_90=float(share((low <= truth.effect) & (truth.effect <= high))),
        coverage_gap_95=gap_inside,
        flagged=float(share(collapsed)),
        flagged_where_supported=float(share(collapsed[h1[0]])) if h1[0].any() else None,
        by_survivors=float(share((tests["equivalent"](*to_forward["seen"]) <= ALPHA).all(axis=1))),
    )


def labels(p_for: np.ndarray, p_against: np.ndarray) -> Pair:
    """(equivalent, different) of every strategy, as compare.py finds them: [sweeps, strategies]."""
    all_equivalent = (p_for <= ALPHA).all(axis=1, keepdims=True)
    equivalent = all_equivalent | (holm(p_for) <= ALPHA)
    return equivalent, ~equivalent & (holm(p_against) <= ALPHA)


def _h3(truth: Truth, tables: dict[str, np.ndarray], effects: np.ndarray) -> Pair | None:
    """H3's claims (supported, contradicted); the gain is set to twice the spread, so that the true
    ratio equals the bound."""
    if not truth.effect:
        return None
    claims = {}
    for name, table in tables.items():
        complete = table[~np.isnan(table).any(axis=2)].reshape(len(table), -1, table.shape[2])
        none = complete[..., -1] + effects.mean() - abs(truth.effect) / spread.SMALL
        claims[name] = spread.claim(complete[..., :-1], none, ALPHA)
    return (
        np.all([pair[0] for pair in claims.values()], axis=0),
        np.all([pair[1] for name, pair in claims.items() if name != "high"], axis=0),
    )


def _equal(sd: float, effect: float) -> Callable[[int], float]:
    return lambda n: tost_power(n, sd, MARGIN, effect, ALPHA)


def _above(sd: float, gain: float) -> Callable[[int], float]:
    return lambda n: above_power(n, sd, 0, gain, ALPHA)


def wrong_answers(truth: Truth, result: Rates) -> dict[str, float | None]:
    """The rates of answers that are wrong under this truth."""
    wrong: dict[str, float | None] = {
        "h2_supported_without_gain": result.h2_supported_without_gain,
        "h2_contradicted_without_gain": result.h2_contradicted_without_gain,
        "h3_supported": result.h3_supported,
        "h3_contradicted": result.h3_contradicted,
        "labels_equivalent": result.labels_equivalent,
        "labels_different": result.labels_different,
    }
    if abs(truth.effect) >= MARGIN:
        wrong["h1_supported"] = result.h1_supported
    if abs(truth.effect) <= MARGIN:
        wrong["h1_contradicted"] = result.h1_contradicted
    if truth.effect >= MARGIN:
        wrong["h5_supported"] = result.h5_supported
    if truth.effect <= MARGIN:
        wrong["h5_contradicted"] = result.h5_contradicted
    return wrong


def faults(truth: Truth, result: Rates, sweeps: int) -> list[str]:
    """What fails: wrong answers more often than alpha, intervals that cover less than their
    nominal level, power that differs from the prediction."""
    bound, messages = ALPHA + slack(ALPHA, sweeps), []
    wrong = wrong_answers(truth, result)
    messages += [
        f"{name} {rate:.3f}" for name, rate in wrong.items() if rate is not None and rate > bound
    ]
    if not lost(truth):
        for name, nominal in (("coverage_paired_90", 0.9), ("coverage_gap_95", 0.95)):
            if getattr(result, name) < nominal - slack(nominal, sweeps):
                messages.append(f"{name} {getattr(result, name):.3f}")
    if truth.noise == "normal":
        exact = [(name, getattr(result, f"{name}_predicted")) for name in
                 ("one_equivalent", "one_beyond")]  # fmt: skip
        exact += [("coverage_paired_90", 0.9)]
        if result.all_equivalent_predicted is not None:
            exact += [("h1_supported", result.all_equivalent_predicted)]
        for name, predicted in exact:
            if abs(getattr(result, name) - predicted) > slack(predicted, sweeps) + 2 / sweeps:
                messages.append(f"{name} {getattr(result, name):.3f}, predicted {predicted:.3f}")
        for name, predicted in (
            ("h1_supported", result.all_equivalent_predicted_at_least),
            ("all_better", result.all_better_predicted_at_least),
        ):
            if getattr(result, name) < predicted - slack(predicted, sweeps) - 2 / sweeps:
                messages.append(
                    f"{name} {getattr(result, name):.3f}, predicted at least {predicted:.3f}"
                )
    return messages
