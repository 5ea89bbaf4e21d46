"""The Markdown page of simulated rates (simulate.py)."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from benchmarks import claims, pooled, tuned
from benchmarks.noise import NAMED, UNFAIR_EFFECTS, lost
from benchmarks.simulated import (
    ALPHA,
    EFFECTS,
    MARGIN,
    NOISES,
    SDS,
    SEEDS,
    UNFAIR,
    Coverage,
    Rates,
    Truth,
    slack,
    wrong_answers,
)

HEADS = {
    "h1_supported": "H1 supported", "h1_contradicted": "H1 contradicted",
    "h2_supported_without_gain": "H2 supported",
    "h2_contradicted_without_gain": "H2 contradicted", "h3_supported": "H3 supported",
    "h3_contradicted": "H3 contradicted", "h5_supported": "H5 supported",
    "h5_contradicted": "H5 contradicted", "labels_equivalent": "a label equivalent",
    "labels_different": "a label different",
}  # fmt: skip
Results = list[tuple[Truth, Rates]]


def table(results: Results, first: str, groups: dict[str, Results]) -> str:
    """A Markdown table: the worst of each rate over the cells of a group where it is an error."""
    headers = [first, "seeds", *HEADS.values(), "paired 90 %", "gap 95 %"]
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    for name, group in groups.items():
        for seeds in SEEDS:
            selected = [(t, r) for t, r in group if t.seeds == seeds]
            if not selected:
                continue
            wrong = [wrong_answers(t, r) for t, r in selected]
            worst = [max((w.get(key) or 0.0 for w in wrong), default=0.0) for key in HEADS]
            complete = [r for t, r in selected if not lost(t)]
            covered = [min((r.coverage_paired_90 for r in complete), default=None),
                       min((r.coverage_gap_95 or 0.0 for r in complete), default=None)]  # fmt: skip
            shown = [f"{w:.3f}" for w in worst] + [
                "-" if c is None else f"{c:.3f}" for c in covered
            ]
            lines.append(f"| {name} | {seeds} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def one_off(results: Results, noise: str) -> Results:
    return [(t, r) for t, r in results if t.noise == noise and t.off == 1]


def unfair_table(results: Results) -> str:
    """Rates at which H1 is wrongly supported if the strategy with the effect has other noise."""
    headers = ["noise", "SD", "effect", "seeds", "H1 supported", "by the runs that finished",
             "some run is flagged", "flagged where supported"]  # fmt: skip
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    for t, r in results:
        if t.noise in UNFAIR and t.effect == -MARGIN:
            flagged = r.flagged_where_supported
            lines.append(
                f"| {t.noise} | {t.sd:g} | {t.effect:g} | {t.seeds} | {r.h1_supported:.3f} | "
                f"{r.by_survivors:.3f} | {r.flagged:.3f} | "
                f"{'-' if flagged is None else f'{flagged:.3f}'} |"
            )
    return "\n".join(lines)


def false_flags(results: Results) -> str:
    """Rates at which runs are flagged as collapsed although none has collapsed."""
    lines = ["| noise | " + " | ".join(f"{n} seeds" for n in SEEDS) + " |"]
    lines.append("|" + "---|" * (1 + len(SEEDS)))
    for noise in (*NOISES, "skew"):
        worst = [
            max(r.flagged for t, r in results if (t.noise, t.seeds) == (noise, n)) for n in SEEDS
        ]
        lines.append(f"| {noise} | " + " | ".join(f"{w:.3f}" for w in worst) + " |")
    return "\n".join(lines)


def power_table(results: list[tuple[Truth, Rates]]) -> str:
    lines = ["| SD | effect | seeds | equivalent | predicted | beyond | predicted |", "|---|" * 7]
    lines[1] = "|" + "---|" * 7
    for t, r in results:
        if t.noise == "normal" and t.off == 1 and t.seeds in (3, 5, 10, 20):
            lines.append(
                f"| {t.sd} | {t.effect} | {t.seeds} | {r.one_equivalent:.3f} | "
                f"{r.one_equivalent_predicted:.3f} | {r.one_beyond:.3f} | "
                f"{r.one_beyond_predicted:.3f} |"
            )
    return "\n".join(lines)


def page(record: dict[str, Any]) -> str:
    """Return a record as Markdown."""
    sweeps, joint, wrong = record["sweeps"], record["joint_power"], record["faults"]
    truths, found = ([f.name for f in fields(kind)] for kind in (Truth, Rates))
    results: Results = [
        (Truth(**{k: cell[k] for k in truths}), Rates(**{k: cell[k] for k in found}))
        for cell in record["cells"]
    ]
    coverages = [Coverage(**c) for c in record["coverage"]]
    pools = [pooled.Errors(**p) for p in record["pooled"]]
    tunings = [tuned.Tuned(**t) for t in record["tuned"]]
    claim_rates = [claims.Rates(**c) for c in record["claims"]]
    rows = "\n".join(
        f"| {c.what} | {c.seeds} | {c.nominal} | {c.covered:.3f} | {c.sweeps} |" for c in coverages
    )
    return f"""# Simulated rates of the verdict

Written by `python -m benchmarks.simulate`: {sweeps:,} sweeps in each of {len(results)} cells,
alpha {ALPHA}, margin {MARGIN:g}. A cell is a noise, an SD of paired differences ({SDS[0]} or
{SDS[1]}), an effect of one strategy of five ({", ".join(f"{e:g}" for e in EFFECTS)} margins) and
a number of seeds. What did not hold: {len(wrong) or "nothing"}, beside the noises that README names
({", ".join(NAMED)}).

## Wrong answers and coverage

The worst over the cells of a row in which the answer would be wrong: it should not be above
{ALPHA} (four standard errors: {ALPHA + slack(ALPHA, sweeps):.3f}). H2 is judged where nothing is
gained, H3 where the ratio is exactly its bound. A label: some strategy of the four beside forward
is wrongly called equivalent (different).

{table(results, "noise", {n: one_off(results, n) for n in NOISES})}

## Several strategies at the margin

"Every strategy is equivalent" is false for two, three or four of four, by just a margin; normal
noise. The claim is an intersection-union test without correction, and holds its level.

{table(results, "off", {str(k): [c for c in results if c[0].off == k] for k in (2, 3, 4)})}

## Noise of one strategy alone

The strategy that is off ({", ".join(f"{e:g}" for e in UNFAIR_EFFECTS)} margins) has a lower tail
(exponential), or the worst fifth of its runs is missing (at least one), or one run in 100, 20 or 10
collapses, and loses so much that the mean is off by the effect; all other runs are normal. Missing
runs are taken at their worst, which keeps the error rate below alpha. With a lower tail it is above
alpha by some, with rare collapses by far: no test of a few seeds can see what does not happen in
them. So every verdict states the collapse rate that its seeds do not exclude.

{table(results, "noise", {n: one_off(results, n) for n in UNFAIR})}

H1 where its mean is one margin below forward's, so that "supported" is wrong:

{unfair_table(results)}

## Runs that are flagged and have not collapsed

The share of sweeps in which some run of the six arms counts as collapsed by its distance alone
(raykd/analysis/stats/collapse.py), the worst over SDs and effects. A run of a heavy tail that lies
so far off is as good as one; by a gap
in its arm too, see [flags.md](flags.md).

{false_flags(results)}

## Power of one comparison, as simulated and as `raykd power` says

{power_table(results)}

Six strategies that equal forward, SD of a paired difference 0.8 of the margin, ten seeds: H1 is
supported in {joint["simulated"]:.3f} of sweeps ({joint["predicted"]:.3f} by `raykd power`).

## Hidden weights: which seeds choose

Every strategy has the weight that is best on select, of weights that gain nothing. `favoured`: one
strategy is wrongly better than no matching. The verdict's rule is the last one. Chosen under the
seeds that are judged, a weight is favoured for its luck. Chosen by all other seeds or by the other
half, it is not, but two seeds that choose for each other are correlated, which a t test does not
know. Worst over SDs and over the share of the rows' own noise in a score (0 or half).

{tuned.table(tunings)}

## Claims

Claims of a sweep file, each false by just its bound (raykd/analysis/verdict/claims.py), the worst
over SDs. A claim holds in every setting, so with two it may be false in one of them. Missing runs
are those of one arm; they are the worst fifth. Several analyses: after 4, 7 and 10 seeds with
levels that add up to alpha; or after 8 seeds and again with 8 more, as an extension. Four claims
that are all false: the share of sweeps in which any of them is supported, corrected for each other
(`together`) and each at alpha, as their statuses are.

{claims.table(claim_rates)}

## Intervals with one variance for all arms

Pooled 90 % intervals are shown beside the verdict and decide nothing. The error where one strategy
is noisier is shown with them.

{pooled.table(pools)}

## Other intervals

| interval | seeds | nominal | covered | sweeps |
|---|---|---|---|---|
{rows}
"""
