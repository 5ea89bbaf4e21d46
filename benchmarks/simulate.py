"""Do the verdict's statistics hold? Ten thousand simulated sweeps in each of many cells.

    python -m benchmarks.simulate    # some minutes on one core; writes simulation.json and .md

The tests run a short form of the same (tests/analysis/test_simulation.py).
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.simulated import (
    ALPHA,
    EFFECTS,
    MARGIN,
    NOISES,
    SDS,
    SEEDS,
    Rates,
    Truth,
    cells,
    faults,
    rates,
    ratios,
    shares,
    slack,
    two_level,
)


def table(found: list[tuple[Truth, Rates]], sweeps: int) -> str:
    """Markdown: the worst of each rate over the cells in which it is a wrong answer."""
    head = "| noise | seeds | " + " | ".join(
        ["H1 supported", "H1 contradicted", "H2 supported", "H2 contradicted", "H3 supported",
         "H3 contradicted", "H5 supported", "H5 contradicted", "paired 90 %", "gap 95 %"]
    ) + " |"  # fmt: skip
    lines = [head, "|" + "---|" * 12]
    for noise in NOISES:
        for seeds in SEEDS:
            group = [(t, r) for t, r in found if (t.noise, t.seeds) == (noise, seeds)]
            false = [r for t, r in group if t.effect >= MARGIN]
            true = [r for t, r in group if t.effect <= MARGIN]
            every = [r for _, r in group]
            worst = [
                max(r.h1_supported for r in false), max(r.h1_contradicted for r in true),
                max(r.h2_supported_without_gain for r in every),
                max(r.h2_contradicted_without_gain for r in every),
                max(r.h3_supported or 0 for r in every), max(r.h3_contradicted or 0 for r in every),
                max(r.h5_supported for r in false), max(r.h5_contradicted for r in true),
                min(r.coverage_paired_90 for r in every), min(r.coverage_gap_95 for r in every),
            ]  # fmt: skip
            lines.append(f"| {noise} | {seeds} | " + " | ".join(f"{w:.3f}" for w in worst) + " |")
    return "\n".join(lines)


def power_table(found: list[tuple[Truth, Rates]]) -> str:
    lines = ["| SD | effect | seeds | equivalent | predicted | beyond | predicted |", "|---|" * 7]
    lines[1] = "|" + "---|" * 7
    for t, r in found:
        if t.noise == "normal" and t.seeds in (3, 5, 10, 20):
            lines.append(
                f"| {t.sd} | {t.effect} | {t.seeds} | {r.one_equivalent:.3f} | "
                f"{r.one_equivalent_predicted:.3f} | {r.one_beyond:.3f} | "
                f"{r.one_beyond_predicted:.3f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "simulation")
    arguments = parser.parse_args()
    sweeps, start = arguments.sweeps, time.monotonic()
    found, wrong = [], []
    for i, truth in enumerate(cells()):
        result = rates(truth, sweeps, seed=i)
        found.append((truth, result))
        wrong += [f"{truth}: {fault}" for fault in faults(truth, result, sweeps)]
    rng, fewer = np.random.default_rng(1), max(100, sweeps // 5)
    others = [
        c for n in (2, 3, 5, 10, 20)
        for c in [two_level(n, fewer, rng), *shares(n, fewer, rng), *ratios(n, fewer, rng)]
    ]  # fmt: skip
    shown = [c for c in others if "shown only" not in c.what]
    wrong += [
        f"{c}" for c in shown if c.covered < c.nominal - slack(c.nominal, c.sweeps)
    ]  # fmt: skip
    record = {
        "sweeps": sweeps, "alpha": ALPHA, "margin": MARGIN, "faults": wrong,
        "cells": [{**asdict(t), **asdict(r)} for t, r in found],
        "coverage": [asdict(c) for c in others],
    }  # fmt: skip
    arguments.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    rows = "\n".join(
        f"| {c.what} | {c.seeds} | {c.nominal} | {c.covered:.3f} | {c.sweeps} |" for c in others
    )
    arguments.out.with_suffix(".md").write_text(
        f"""# Simulated rates of the verdict

Written by `python -m benchmarks.simulate`: {sweeps:,} sweeps in each of {len(found)} cells,
alpha {ALPHA}, margin {MARGIN:g}. A cell is a noise, an SD of paired differences ({SDS[0]} or
{SDS[1]}), an effect of one strategy of five ({", ".join(f"{e:g}" for e in EFFECTS)} margins) and
a number of seeds. What did not hold: {len(wrong) or "nothing"}.

## Wrong answers and coverage

The worst over the cells of a row in which the answer would be wrong: it should not be above
{ALPHA} (four standard errors: {ALPHA + slack(ALPHA, sweeps):.3f}). H2 is judged where nothing is
gained, H3 where the ratio is exactly its bound.

{table(found, sweeps)}

## Power of one comparison, as simulated and as `raykd power` says

{power_table(found)}

## Other intervals

| interval | seeds | nominal | covered | sweeps |
|---|---|---|---|---|
{rows}
"""
    )
    print(f"{len(found)} cells in {time.monotonic() - start:.0f} s; faults: {len(wrong)}")
    for line in wrong:
        print(" ", line)


if __name__ == "__main__":
    main()
