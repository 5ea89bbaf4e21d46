"""Error rates once seeds are added to a verdict: as a second and a third judgement at all of alpha,
and as an extension that the sweep file stated. Part of benchmarks/sequential.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy import stats

from benchmarks.coverage import slack
from benchmarks.noise import ALPHA, MARGIN, OTHERS, STEP, Truth, draw
from raykd.analysis.stats import paired
from raykd.analysis.stats.paired import claim
from raykd.analysis.stats.stages import FIRST, JOINT, combined

FIRST_SEEDS = (5, 10)
NOISES = ("normal", "unequal", "heavy", "coarse")
EFFECTS = (0.0, 0.5, 1.0, 2.0)
SDS = (0.5, 1.0, 2.0)
MOST = 3
"""Seeds that are added at most, in units of the first ones."""

Answers = dict[str, np.ndarray]
"""By hypothesis and side, whether it is answered so: [sweeps]"""
P = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Rates:
    """Shares of sweeps in which an answer is given at some judgement, where the advised seeds are
    added to an undecided H1. `once`: by the first verdict alone; `second`, `third`: or by one over
    all seeds at all of alpha; `extended`: or by the combined test, the first one having 0.8 of
    alpha. `h1_decided`: by the last of them. Worst over H1, H2 and H5 where the answer is wrong.
    """

    once: float
    second: float
    third: float
    extended: float
    decided_once: float
    decided_second: float
    decided_extended: float


def one_sided(differences: np.ndarray, bound: float, step: float) -> P:
    """p-values for: below the bound, above it. differences: [sweeps, seeds, comparisons]"""
    mean, sd = paired.summary(np.moveaxis(differences, 1, 2), step)
    n = differences.shape[1]
    return paired.p_below(mean, sd, n, bound), paired.p_above(mean, sd, n, bound)


Tests = dict[float, P]
"""By bound: p-values of every comparison, below and above it"""


def answers(to_forward: Tests, gain: P, alpha: float) -> Answers:
    below, above = to_forward[MARGIN][0], to_forward[-MARGIN][1]
    beyond = np.minimum(1.0, 2 * np.minimum(to_forward[MARGIN][1], to_forward[-MARGIN][0]))
    judged = {
        "h1": claim(np.maximum(below, above), beyond, alpha),
        "h2": claim(gain[1], gain[0], alpha),
        "h5": claim(below[:, -1:], to_forward[MARGIN][1][:, -1:], alpha),
    }
    return {f"{h}_{side}": pair[i] for h, pair in judged.items()
            for i, side in enumerate(("supported", "contradicted"))}  # fmt: skip


def tests(scores: np.ndarray, none: np.ndarray, truth: Truth) -> tuple[Tests, P]:
    step = STEP if truth.noise == "coarse" else 0.0
    differences = scores[..., 1:] - scores[..., :1]
    gains = scores - none[..., None] - np.array([0.0] * OTHERS + [truth.effect])
    return (
        {bound: one_sided(differences, bound, step) for bound in (MARGIN, -MARGIN)},
        one_sided(gains, 0.0, step),
    )


def advised(scores: np.ndarray) -> np.ndarray:
    """How many seeds each sweep is advised to add, by the normal approximation of H1's least clear
    comparison, rounded up: at least two and at most three times those it has."""
    n = scores.shape[1]
    mean, sd = paired.summary(np.moveaxis(scores[..., 1:] - scores[..., :1], 1, 2))
    away = np.maximum(np.abs(MARGIN - np.abs(mean)), 1e-3)
    total = ((stats.norm.isf(ALPHA) + stats.norm.isf(0.2)) * sd / away).max(axis=1) ** 2
    steps = np.array([2, *(n * k // 2 for k in range(1, 2 * MOST + 1))])
    rounded: np.ndarray = steps[np.searchsorted(steps, np.clip(np.ceil(total) - n, 2, MOST * n))]
    return rounded


def wrong(truth: Truth) -> set[str]:
    names = {"h2_supported", "h2_contradicted"}
    if truth.effect >= MARGIN:
        names |= {"h1_supported", "h5_supported"}
    if truth.effect <= MARGIN:
        names |= {"h1_contradicted", "h5_contradicted"}
    return names


def rates(truth: Truth, sweeps: int, seed: int) -> Rates:
    """Rates of a truth whose `seeds` are those of the first judgement."""
    n = truth.seeds
    full = Truth(truth.noise, truth.sd, truth.effect, n * (1 + 2 * MOST), truth.off)
    scores, none = draw(full, sweeps, np.random.default_rng(seed))
    first = tests(scores[:, :n], none[:, :n], truth)
    once, shared = (answers(*first, alpha) for alpha in (ALPHA, FIRST * ALPHA))
    second, third = ({k: v.copy() for k, v in once.items()} for _ in range(2))
    extended = {k: v.copy() for k, v in shared.items()}

    def is_open(found: Answers) -> np.ndarray:
        undecided: np.ndarray = ~(found["h1_supported"] | found["h1_contradicted"])
        return undecided

    goes_on = {"second": is_open(once), "extended": is_open(shared)}
    more = advised(scores[:, :n])
    for m in np.unique(more):
        rows = np.flatnonzero(more == m)
        part, bare = scores[rows], none[rows]
        whole = answers(*tests(part[:, : n + m], bare[:, : n + m], truth), ALPHA)
        added = tests(part[:, n : n + m], bare[:, n : n + m], truth)
        both = answers(
            {b: _combined(first[0][b], added[0][b], rows) for b in added[0]},
            _combined(first[1], added[1], rows), ALPHA,
        )  # fmt: skip
        again = min(n + m + int(m), part.shape[1])
        last = answers(*tests(part[:, :again], bare[:, :again], truth), ALPHA)
        still = goes_on["second"][rows] & is_open(whole)
        for name in once:
            second[name][rows] |= goes_on["second"][rows] & whole[name]
            extended[name][rows] |= goes_on["extended"][rows] & both[name]
            third[name][rows] |= (goes_on["second"][rows] & whole[name]) | (still & last[name])
    by_rule = {"once": once, "second": second, "third": third, "extended": extended}
    errors = {
        rule: max(float(found[name].mean()) for name in wrong(truth))
        for rule, found in by_rule.items()
    }
    decided = {rule: float((~is_open(by_rule[rule])).mean()) for rule in ("once", "second",
               "extended")}  # fmt: skip
    return Rates(**errors, **{f"decided_{rule}": share for rule, share in decided.items()})


def _combined(first: P, added: P, rows: np.ndarray) -> P:
    return combined(first[0][rows], added[0]), combined(first[1][rows], added[1])


def cells() -> Iterator[Truth]:
    for seeds in FIRST_SEEDS:
        for noise in NOISES:
            for sd in SDS:
                for effect in EFFECTS:
                    yield Truth(noise, sd, effect, seeds)


Results = Sequence[tuple[Truth, Rates]]


def faults(results: Results, sweeps: int) -> list[str]:
    """First verdicts and extended ones that err more often than alpha, and judgements that err more
    often than is stated for them (raykd/analysis/stats/stages.py)."""
    bounds = {"once": ALPHA, "extended": ALPHA, "second": JOINT[2], "third": JOINT[3]}
    return [
        f"{truth}: {rule} {getattr(result, rule):.3f}"
        for truth, result in results for rule, bound in bounds.items()
        if getattr(result, rule) > bound + slack(bound, sweeps)
    ]  # fmt: skip


def table(results: Results) -> str:
    rules = [f.name for f in fields(Rates) if not f.name.startswith("decided")]
    lines = ["| first seeds | noise | " + " | ".join(rules) + " |", "|" + "---|" * 6]
    for seeds in FIRST_SEEDS:
        for noise in NOISES:
            group = [r for t, r in results if (t.seeds, t.noise) == (seeds, noise)]
            worst = " | ".join(f"{max(getattr(r, rule) for r in group):.3f}" for rule in rules)
            lines.append(f"| {seeds} | {noise} | {worst} |")
    return "\n".join(lines)


def decided_table(results: Results) -> str:
    lines = ["| first seeds | SD | effect | once | second | extended |", "|" + "---|" * 6]
    lines += [
        f"| {t.seeds} | {t.sd:g} | {t.effect:g} | {r.decided_once:.3f} | {r.decided_second:.3f} | "
        f"{r.decided_extended:.3f} |"
        for t, r in results if t.noise == "normal"
    ]  # fmt: skip
    return "\n".join(lines)
