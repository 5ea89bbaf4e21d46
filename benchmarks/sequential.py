"""Error rates and savings of interim analyses (looks), in 10,000 simulated sweeps per cell.

    python -m benchmarks.sequential    # some minutes on one core; writes sequential.json and .md

The tests run a short form of the same (tests/benchmarks/test_sequential.py).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy import optimize, stats

from benchmarks import extended
from benchmarks.coverage import slack
from benchmarks.noise import ALPHA, MARGIN, OTHERS, STEP, Truth, draw
from raykd.analysis.stats import paired, spread
from raykd.analysis.stats.paired import claim
from raykd.analysis.stats.sequential import HOPELESS, Look, chance

LOOKS = ((2, 4), (5, 10), (4, 7, 10), (8, 14, 20), (2, 3, 4, 5), (3, 5, 7, 10))
NOISES = ("normal", "unequal", "heavy", "coarse")
EFFECTS = (0.0, 0.5, 1.0, 2.0)
SDS = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Rates:
    """Shares of sweeps. A wrong answer counts at any look, whichever the sweep stops at; H2's gain
    is 0, H3's ratio its bound (None where an effect of 0 leaves none). `decided`: H1 where the
    sweep stops; `decided_fixed`: at the last seed by all of alpha, as without looks. `given_up`:
    stopped with something open; `regretted`: of which the last look would have decided some.
    `seeds`: an arm's, on average."""

    h1_supported: float
    h1_contradicted: float
    h2_supported: float
    h2_contradicted: float
    h3_supported: float | None
    h3_contradicted: float | None
    h5_supported: float
    h5_contradicted: float
    decided: float
    decided_fixed: float
    given_up: float
    regretted: float
    seeds: float


Answers = tuple[np.ndarray, np.ndarray]
"""(supported, contradicted) of each sweep"""


def answers(
    scores: np.ndarray, none: np.ndarray, truth: Truth, alpha: float
) -> tuple[dict[str, Answers], np.ndarray, np.ndarray]:
    """Answers to H1, H2, H3 and H5 for scores [sweeps, seeds, arms], and the means and SDs of
    differences to forward."""
    n, step = none.shape[1], STEP if truth.noise == "coarse" else 0.0
    mean, sd = paired.summary(np.moveaxis(scores[..., 1:] - scores[..., :1], 1, 2), step)
    gain, gain_sd = paired.summary(np.moveaxis(scores - none[..., None], 1, 2), step)
    gain = gain - np.array([*[0.0] * OTHERS, truth.effect])  # the same noise, nothing gained
    last, last_sd = mean[:, -1:], sd[:, -1:]
    claims = {
        "h1": claim(
            paired.p_tost(mean, sd, n, MARGIN), paired.p_beyond(mean, sd, n, MARGIN), alpha
        ),
        "h2": claim(
            paired.p_above(gain, gain_sd, n, 0), paired.p_below(gain, gain_sd, n, 0), alpha
        ),
        "h5": claim(
            paired.p_below(last, last_sd, n, MARGIN),
            paired.p_above(last, last_sd, n, MARGIN),
            alpha,
        ),
    }
    if truth.effect:  # as in simulated.rates: the gain is put at twice the spread
        matched = truth.effect / (1 + OTHERS)
        claims["h3"] = spread.claim(scores, none + matched - truth.effect / spread.SMALL, alpha)
    return claims, mean, sd


def rates(truth: Truth, looks: Sequence[int], sweeps: int, seed: int) -> Rates:
    """Rates of one truth, which has as many seeds as the last look."""
    scores, none = draw(truth, sweeps, np.random.default_rng(seed))
    wrong: dict[str, list[np.ndarray]] = {}
    going, decided, used = np.ones(sweeps, bool), np.zeros(sweeps, bool), np.zeros(sweeps)
    left_open = {"h1": np.zeros(sweeps, bool), "h5": np.zeros(sweeps, bool)}  # by giving up
    for number, n in enumerate(looks, 1):
        look = Look.of(number, looks, ALPHA)
        claims, mean, sd = answers(scores[:, :n], none[:, :n], truth, look.alpha)
        for name, pair in claims.items():
            errors = wrong.setdefault(name, [np.zeros(sweeps, bool), np.zeros(sweeps, bool)])
            errors[0] |= pair[0]
            errors[1] |= pair[1]
        used[going] = n
        settled = {name: claims[name][0] | claims[name][1] for name in left_open}
        decided = np.where(going, settled["h1"], decided)
        if look.ahead:
            estimates = {"h1": (mean, sd, 2), "h5": (mean[:, -1:], sd[:, -1:], 1)}
            stops = going.copy()
            for name, (m, s, sides) in estimates.items():
                stops &= settled[name] | (chance(m, s, n, MARGIN, sides, look) < HOPELESS)
            for name, open_ in left_open.items():
                open_ |= stops & ~settled[name]
            going &= ~stops
    given_up = left_open["h1"] | left_open["h5"]
    regretted = np.any([left_open[name] & settled[name] for name in left_open], axis=0)
    fixed = answers(scores, none, truth, ALPHA)[0]["h1"]
    shares = {k: [float(v.mean()) for v in pair] for k, pair in wrong.items()}
    h3_supported, h3_contradicted = shares.get("h3", [None, None])
    return Rates(
        h1_supported=shares["h1"][0],
        h1_contradicted=shares["h1"][1],
        h2_supported=shares["h2"][0],
        h2_contradicted=shares["h2"][1],
        h3_supported=h3_supported,
        h3_contradicted=h3_contradicted,
        h5_supported=shares["h5"][0],
        h5_contradicted=shares["h5"][1],
        decided=float(decided.mean()),
        decided_fixed=float((fixed[0] | fixed[1]).mean()),
        given_up=float(given_up.mean()),
        regretted=float(regretted.mean()),
        seeds=float(used.mean()),
    )


def cells() -> Iterator[tuple[Truth, tuple[int, ...]]]:
    for looks in LOOKS:
        for noise in NOISES:
            for sd in SDS:
                for effect in EFFECTS:
                    yield Truth(noise, sd, effect, looks[-1]), looks


def faults(truth: Truth, result: Rates, sweeps: int) -> list[str]:
    """Wrong answers that are more frequent than alpha."""
    wrong = {"h2_supported", "h2_contradicted", "h3_supported", "h3_contradicted"}
    if truth.effect >= MARGIN:
        wrong |= {"h1_supported", "h5_supported"}
    if truth.effect <= MARGIN:
        wrong |= {"h1_contradicted", "h5_contradicted"}
    bound, shares = ALPHA + slack(ALPHA, sweeps), {k: getattr(result, k) for k in sorted(wrong)}
    return [f"{k} {rate:.3f}" for k, rate in shares.items() if rate is not None and rate > bound]


def textbook(looks: Sequence[int], alpha: float, points: int = 801) -> list[float]:
    """The levels of Lan and DeMets for the same spending, by the recursion of Armitage, McPherson
    and Rowe (1969) on the score of normal data: what we do not use."""
    levels, previous = [], 0.0
    grid, weights = np.zeros(1), np.ones(1)  # where the score is, not having passed yet
    for n, spend in zip(looks, Look.of(1, looks, alpha).levels, strict=True):
        fraction = n / looks[-1]
        sd, step = np.sqrt(fraction), np.sqrt(fraction - previous)
        passed = partial(_past, grid, weights, step)
        bound = optimize.brentq(lambda b, f=passed, s=spend: f(b) - s, -9 * sd, 12 * sd)
        levels.append(float(stats.norm.sf(bound / sd)))
        new = np.linspace(-9 * sd, bound, points)
        density = stats.norm.pdf((new[:, None] - grid) / step) / step @ weights
        grid, weights, previous = new, density * _simpson(points) * (new[1] - new[0]), fraction
    return levels


def _past(grid: np.ndarray, weights: np.ndarray, step: float, bound: float) -> float:
    return float(stats.norm.sf((bound - grid) / step) @ weights)


def _simpson(points: int) -> np.ndarray:
    weights = np.ones(points)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    return weights / 3


def crossed(looks: Sequence[int], levels: Sequence[float], sweeps: int, seed: int = 0) -> float:
    """Rate at which a one-sided t test at its bound passes at any look, on normal data."""
    scores = np.random.default_rng(seed).standard_normal((sweeps, looks[-1]))
    passed = np.zeros(sweeps, bool)
    for n, level in zip(looks, levels, strict=True):
        mean, sd = paired.summary(scores[:, :n])
        passed |= paired.p_above(mean, sd, n, 0.0) <= level
    return float(passed.mean())


def wrong_table(results: list[tuple[Truth, tuple[int, ...], Rates]]) -> str:
    """A Markdown table: the worst rate of each wrong answer over the cells where it is wrong."""
    names = ["H1 supported", "H1 contradicted", "H2 supported", "H2 contradicted", "H3 supported",
             "H3 contradicted", "H5 supported", "H5 contradicted"]  # fmt: skip
    lines = ["| looks | noise | " + " | ".join(names) + " |", "|" + "---|" * 10]
    for looks in LOOKS:
        for noise in NOISES:
            group = [(t, r) for t, at, r in results if (t.noise, at) == (noise, looks)]
            worst = []
            for name in names:
                hypothesis, side = name.lower().split()
                values = [
                    getattr(r, f"{hypothesis}_{side}") or 0.0 for t, r in group
                    if hypothesis in ("h2", "h3")
                    or (t.effect >= MARGIN if side == "supported" else t.effect <= MARGIN)
                ]  # fmt: skip
                worst.append(max(values))
            shown = " | ".join(f"{w:.3f}" for w in worst)
            lines.append(f"| {', '.join(map(str, looks))} | {noise} | {shown} |")
    return "\n".join(lines)


def saved_table(results: list[tuple[Truth, tuple[int, ...], Rates]]) -> str:
    heads = ["looks", "SD", "effect", "H1 decided", "without looks", "given up", "regretted",
             "seeds an arm"]  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for t, looks, r in results:
        if t.noise == "normal":
            lines.append(
                f"| {', '.join(map(str, looks))} | {t.sd:g} | {t.effect:g} | {r.decided:.3f} | "
                f"{r.decided_fixed:.3f} | {r.given_up:.3f} | {r.regretted:.3f} | "
                f"{r.seeds:.1f} of {looks[-1]} |"
            )
    return "\n".join(lines)


def textbook_table(sweeps: int) -> tuple[str, list[dict[str, object]]]:
    lines = ["| looks | alpha | textbook | ours |", "|" + "---|" * 4]
    record: list[dict[str, object]] = []
    for looks in LOOKS:
        for alpha in (ALPHA, ALPHA / 2 / OTHERS):
            theirs = crossed(looks, textbook(looks, alpha), sweeps)
            ours = crossed(looks, Look.of(1, looks, alpha).levels, sweeps)
            lines.append(
                f"| {', '.join(map(str, looks))} | {alpha:g} | {theirs / alpha:.2f} alpha | "
                f"{ours / alpha:.2f} alpha |"
            )
            record.append({"looks": looks, "alpha": alpha, "textbook": theirs, "ours": ours})
    return "\n".join(lines), record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "sequential")
    arguments = parser.parse_args()
    sweeps, start = arguments.sweeps, time.monotonic()
    results, wrong = [], []
    for i, (truth, looks) in enumerate(cells()):
        result = rates(truth, looks, sweeps, seed=i)
        results.append((truth, looks, result))
        wrong += [f"{truth}, {looks}: {fault}" for fault in faults(truth, result, sweeps)]
    added = [(t, extended.rates(t, sweeps, seed=i)) for i, t in enumerate(extended.cells())]
    wrong += extended.faults(added, sweeps)
    single, record = textbook_table(40 * sweeps)
    arguments.out.with_suffix(".json").write_text(
        json.dumps(
            {
                "sweeps": sweeps, "alpha": ALPHA, "margin": MARGIN, "faults": wrong,
                "cells": [{**asdict(t), "looks": looks, **asdict(r)} for t, looks, r in results],
                "one_test": record,
                "added": [{**asdict(t), **asdict(r)} for t, r in added],
            },
            indent=1,
        )
        + "\n"
    )  # fmt: skip
    arguments.out.with_suffix(".md").write_text(
        f"""# Simulated rates of a sweep with looks

Written by `python -m benchmarks.sequential`: {sweeps:,} sweeps in each of {len(results)} cells,
alpha {ALPHA}, margin {MARGIN:g}, four strategies beside forward, of which one is off by `effect`.
What did not hold: {len(wrong) or "nothing"}.

## Wrong answers at any look

Whichever look a sweep stops at, for whatever reason: the worst over SDs of {SDS} and the effects at
which the answer would be wrong. It should not be above {ALPHA} (four standard errors:
{ALPHA + slack(ALPHA, sweeps):.3f}).

{wrong_table(results)}

## What it decides and spares, normal noise

`given up`: stopped because what was open would be decided with a probability below {HOPELESS:g};
`regretted`: gone on instead, the last look would have decided something of it.

{saved_table(results)}

## Seeds added to a verdict

The advised seeds are added where H1 is undecided: the worst over SDs of {extended.SDS} and the
effects at which an answer to H1, H2 or H5 would be wrong, at any of the judgements. `once`: the
first verdict. `second`, `third`: judged again over all seeds at alpha {ALPHA}. `extended`: as
`confirm.extend` states it, which should not be above alpha.

{extended.table(added)}

How often H1 is decided in the end, normal noise:

{extended.decided_table(added)}

## Why the levels add up to alpha

One t test of normal data at its bound, {40 * sweeps:,} times: how often it passes at some look, in
units of its alpha. `textbook`: Lan and DeMets' levels for the same spending, from the joint
distribution of normal scores; `ours`: levels that add up to alpha. The smaller alpha is what Holm
leaves to one side of one of four comparisons.

{single}
"""
    )
    print(f"{len(results)} cells in {time.monotonic() - start:.0f} s; faults: {len(wrong)}")
    for line in wrong:
        print(" ", line)


if __name__ == "__main__":
    main()
