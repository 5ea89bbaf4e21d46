"""Error rates of claims (raykd/analysis/verdict/claims.py) where each is false by just its bound.
Part of benchmarks/simulate.py.

A sweep has five arms in one or two settings (inits), whose scores under a seed share its luck. A
claim `better` is wrongly supported where the lead is just `by`, in one setting of two (in the other
it is far above), and wrongly contradicted there in both. A claim of equivalence is false for one
arm of `k`, or for half of them, by just `within`. Four claims together, each that an arm is better
than forward, are false where all arms are equal. A sweep with interim analyses, or an extension,
errs if any of its analyses does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from benchmarks.coverage import slack
from benchmarks.noise import ALPHA, MARGIN, NOISES, SDS, STEP
from raykd.analysis.scores.missing import filled
from raykd.analysis.stats import paired
from raykd.analysis.stats.paired import holm
from raykd.analysis.stats.sequential import levels
from raykd.analysis.stats.stages import FIRST, combined

ARMS, FAR = 5, 4.0
SEEDS, SETTINGS = (2, 3, 5, 8, 10, 20), (1, 2)
LOOKS = (4, 7, 10)
DESIGNS = {"interim analyses": 10, "extended": 16}
"""Seeds of the designs with several analyses: after 4, 7 and 10 seeds; after 8, and 8 added."""


@dataclass(frozen=True)
class Rates:
    """Shares of sweeps in which a claim is wrongly supported or contradicted. `any_alone`: some of
    four claims is wrongly supported, each at alpha; `any_together`: after Holm over the claims."""

    noise: str
    sd: float
    seeds: int
    settings: int
    design: str
    sweeps: int
    better_supported: float
    better_contradicted: float
    equivalent_supported: float
    equivalent_contradicted: float
    any_alone: float
    any_together: float


def draw(noise: str, sd: float, seeds: int, settings: int, sweeps: int) -> np.ndarray:
    """Scores of equal arms: [sweeps, settings, seeds, arms]. The seed's luck is the same in both
    settings."""
    rng = np.random.default_rng([len(noise), int(10 * sd), seeds, settings])
    shape = (sweeps, settings, seeds, ARMS)
    values = rng.standard_t(3, shape) / np.sqrt(3) if noise == "heavy" else (
        rng.standard_normal(shape)
    )  # fmt: skip
    scale = sd / np.sqrt(2) * np.ones(ARMS)
    if noise == "unequal":
        scale = scale * np.array([1.0, 3.0, 0.3, 1.0, 2.0])
    scores: np.ndarray = rng.normal(0, 2, (sweeps, 1, seeds, 1)) + values * scale
    return scores


def cases(scores: np.ndarray, noise: str) -> list[np.ndarray]:
    """The scores as they are seen; where the worst fifth of the runs of arm 1 is missing, as they
    are with the missing ones at the worst and at the best score seen."""
    if noise == "coarse":
        return [np.round(scores / STEP) * STEP]
    if noise != "missing":
        return [scores]
    scores = scores.copy()
    lost = max(1, round(scores.shape[2] / 5))
    worst = np.argsort(scores[..., 1:2], axis=2)[:, :, :lost]
    np.put_along_axis(scores[..., 1:2], worst, np.nan, axis=2)
    low, high = (filled(scores, np.full(ARMS, best)) for best in (False, True))
    return [scores, low, high]


def one_sided(d: np.ndarray, bound: float, step: float, design: str) -> np.ndarray:
    """The p-values for differences above a bound, by analysis, on the scale of alpha:
    [analyses, sweeps, comparisons]. d: [sweeps, comparisons, seeds], NaN for a missing run."""

    def p(part: np.ndarray) -> np.ndarray:
        counts = (~np.isnan(part)).sum(axis=-1)
        mean, sd = np.nanmean(part, axis=-1), np.nanstd(part, axis=-1, ddof=1)
        return paired.p_above(mean, np.maximum(sd, step), counts, bound)  # type: ignore[no-any-return]

    if design == "interim analyses":
        spent = levels(LOOKS, ALPHA)
        return np.stack([p(d[..., :n]) * ALPHA / own for n, own in zip(LOOKS, spent, strict=True)])
    if design == "extended":
        half = d.shape[-1] // 2
        first, added = p(d[..., :half]), p(d[..., half:])
        return np.stack([first / FIRST, combined(first, added)])
    return p(d)[None]


@dataclass(frozen=True)
class Judged:
    """p-values of a claim and its opposite, by analysis: [analyses, sweeps]."""

    p_for: np.ndarray
    p_against: np.ndarray

    @property
    def supported(self) -> np.ndarray:
        return np.asarray((self.p_for <= ALPHA).any(axis=0))

    @property
    def contradicted(self) -> np.ndarray:
        return np.asarray((self.p_against <= ALPHA).any(axis=0))


def judged(
    tables: Sequence[np.ndarray], pairs: Sequence[tuple[int, int]], bound: float, better: bool,
    step: float, design: str,
) -> Judged:  # fmt: skip
    """Judge a claim about pairs of arms, in every setting, over the cases of missing runs. The
    best case does not count against a claim: a failed run is never a good one."""
    p_for, p_against = [], []
    for i, table in enumerate(tables):
        d = np.concatenate(
            [table[..., a] - table[..., b] for a, b in pairs], axis=1
        )  # [sweeps, settings x pairs, seeds]
        above, below = one_sided(d, bound, step, design), one_sided(-d, -bound, step, design)
        if not better:
            low, high = one_sided(d, -bound, step, design), one_sided(-d, bound, step, design)
            within = np.maximum(one_sided(-d, -bound, step, design), low)
            above, below = within, np.minimum(1.0, 2 * np.minimum(above, high))
        p_for.append(above)
        if i < 2:
            p_against.append(below)
    return Judged(np.max(p_for, axis=0).max(axis=-1), holm(np.max(p_against, axis=0)).min(axis=-1))


def rates(
    noise: str, sd: float, seeds: int, settings: int, sweeps: int, design: str = "fixed"
) -> Rates:
    scores, step = draw(noise, sd, seeds, settings, sweeps), STEP if noise == "coarse" else 0.0

    def off(*effects: float) -> list[np.ndarray]:
        """The cases with arm 1 off by an effect in each setting."""
        moved = scores.copy()
        moved[..., 1] += np.array(effects[:settings])[:, None]
        return cases(moved, noise)

    def better(tables: list[np.ndarray], arm: int = 1, by: float = 0.0) -> Judged:
        return judged(tables, [(arm, 0)], by, True, step, design)

    def equivalent(tables: list[np.ndarray], k: int) -> Judged:
        pairs = list(combinations(range(k), 2))
        return judged(tables, pairs, MARGIN, False, step, design)

    halves = scores.copy()
    halves[..., 1:3] += MARGIN
    half = cases(halves, noise)
    at_bound = off(MARGIN, MARGIN)
    claims = [better(cases(scores, noise), arm) for arm in range(1, ARMS)]
    p_for = np.stack([c.p_for for c in claims], axis=-1)
    share = np.mean
    return Rates(
        noise, sd, seeds, settings, design, sweeps,
        better_supported=float(max(
            share(better(off(by, by + FAR), by=by).supported) for by in (0.0, MARGIN)
        )),
        better_contradicted=float(max(
            share(better(off(by, by), by=by).contradicted) for by in (0.0, MARGIN)
        )),
        equivalent_supported=float(max(
            share(equivalent(off(effect, 0.0), k).supported)
            for effect in (MARGIN, -MARGIN) for k in (2, 3, ARMS)
        )),
        equivalent_contradicted=float(max(
            share(equivalent(tables, k).contradicted)
            for tables in (half, at_bound) for k in (2, 3, ARMS)
        )),
        any_alone=float(share((p_for <= ALPHA).any(axis=(0, -1)))),
        any_together=float(share((holm(p_for) <= ALPHA).any(axis=(0, -1)))),
    )  # fmt: skip


def cells() -> Iterator[tuple[str, float, int, int, str]]:
    """Noise, SD, seeds, settings and design of each cell."""
    for noise in (*NOISES, "missing"):
        for seeds in SEEDS:
            if noise == "missing" and seeds < 3:
                continue  # one run is left
            for settings in SETTINGS:
                yield from ((noise, sd, seeds, settings, "fixed") for sd in SDS)
    for design, seeds in DESIGNS.items():
        for settings in SETTINGS:
            yield from (("normal", sd, seeds, settings, design) for sd in SDS)


def all_rates(sweeps: int) -> Iterator[Rates]:
    for noise, sd, seeds, settings, design in cells():
        yield rates(noise, sd, seeds, settings, sweeps, design)


WRONG = ("better_supported", "better_contradicted", "equivalent_supported",
         "equivalent_contradicted", "any_together")  # fmt: skip


def faults(results: Sequence[Rates]) -> list[str]:
    """Wrong answers that are more frequent than alpha."""
    return [
        f"claims: {r}: {name}" for r in results for name in WRONG
        if getattr(r, name) > ALPHA + slack(ALPHA, r.sweeps)
    ]  # fmt: skip


def table(results: Sequence[Rates]) -> str:
    """The worst of each rate over the SDs."""
    lines = ["| noise | analyses | settings | seeds | better: supported | contradicted | "
             "equivalent: supported | contradicted | any of four, together | any, each alone |",
             "|" + "---|" * 10]  # fmt: skip
    for key in dict.fromkeys((r.noise, r.design, r.settings, r.seeds) for r in results):
        group = [r for r in results if (r.noise, r.design, r.settings, r.seeds) == key]
        worst = [max(getattr(r, name) for r in group) for name in (*WRONG, "any_alone")]
        lines.append(
            f"| {' | '.join(map(str, key))} | " + " | ".join(f"{w:.3f}" for w in worst) + " |"
        )
    return "\n".join(lines)
