"""Error rates, coverage and power of the verdict in 10,000 simulated sweeps per cell.

    python -m benchmarks.simulate    # some minutes on one core; writes simulation.json and .md
    python -m benchmarks.simulate --only claims    # runs those cells anew, keeps the others

The tests run a short form of the same (tests/benchmarks/test_simulation.py).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import claims, pooled, tuned
from benchmarks.noise import NAMED
from benchmarks.simulated import (
    ALPHA,
    MARGIN,
    cells,
    faults,
    rates,
    ratios,
    shares,
    slack,
    two_level,
)
from benchmarks.simulation_page import Results, page
from raykd.analysis.stats import paired
from raykd.analysis.stats.power import all_equivalent_power

JOINT_POWER = 0.79


def joint_power(sweeps: int, seeds: int = 10, rivals: int = 6, sd: float = 0.8) -> dict[str, float]:
    """Share of sweeps in which H1 is supported where all rivals equal forward; and as predicted."""
    noise = np.random.default_rng(0).standard_normal((sweeps, 1 + rivals, seeds)) * sd / np.sqrt(2)
    mean, spread = paired.summary(noise[:, 1:] - noise[:, :1])
    supported = (paired.p_tost(mean, spread, seeds, MARGIN) <= ALPHA).all(axis=1)
    predicted = all_equivalent_power(seeds, sd, MARGIN, 0.0, ALPHA, rivals)
    return {"simulated": float(supported.mean()), "predicted": predicted}


def simulated(sweeps: int) -> dict[str, Any]:
    """Run every cell but those of claims, and return the record."""
    results: Results = []
    wrong: list[str] = []
    named: list[str] = []
    for i, truth in enumerate(cells()):
        result = rates(truth, sweeps, seed=i)
        results.append((truth, result))
        messages = named if truth.noise in NAMED else wrong
        messages += [f"{truth}: {fault}" for fault in faults(truth, result, sweeps)]
    rng, fewer = np.random.default_rng(1), max(100, sweeps // 5)
    coverages = [
        c for n in (2, 3, 5, 10, 20)
        for c in [two_level(n, fewer, rng), *shares(n, fewer, rng), *ratios(n, fewer, rng)]
    ]  # fmt: skip
    checked = [c for c in coverages if "shown only" not in c.what]
    wrong += [
        f"{c}" for c in checked if c.covered < c.nominal - slack(c.nominal, c.sweeps)
    ]  # fmt: skip
    pools, tunings = list(pooled.all_errors(sweeps)), list(tuned.all_rates(sweeps))
    wrong += [*pooled.faults(pools), *tuned.faults(tunings)]
    joint = joint_power(sweeps)
    wrong += [] if joint["simulated"] >= JOINT_POWER else [f"joint power {joint['simulated']:.3f}"]
    return {
        "sweeps": sweeps, "alpha": ALPHA, "margin": MARGIN, "faults": wrong,
        "named": named,
        "cells": [{**asdict(t), **asdict(r)} for t, r in results],
        "coverage": [asdict(c) for c in coverages],
        "pooled": [asdict(r) for r in pools], "tuned": [asdict(r) for r in tunings],
        "joint_power": joint,
    }  # fmt: skip


def with_claims(record: dict[str, Any], claim_rates: Sequence[claims.Rates]) -> dict[str, Any]:
    """Return a record with the rates of claims, in place of those that it has."""
    others = [fault for fault in record["faults"] if not fault.startswith("claims: ")]
    return {
        **record, "faults": [*others, *claims.faults(claim_rates)],
        "claims": [asdict(r) for r in claim_rates],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "simulation")
    parser.add_argument("--only", choices=["claims"], help="run these cells, keep all others")
    arguments = parser.parse_args()
    sweeps, start, file = arguments.sweeps, time.monotonic(), arguments.out.with_suffix(".json")
    record = json.loads(file.read_text()) if arguments.only else simulated(sweeps)
    record = with_claims(record, list(claims.all_rates(sweeps)))
    file.write_text(json.dumps(record, indent=1) + "\n")
    arguments.out.with_suffix(".md").write_text(page(record))
    print(
        f"{len(record['cells'])} cells in {time.monotonic() - start:.0f} s; faults: "
        f"{len(record['faults'])}, in noises that are named: {len(record['named'])}"
    )
    for line in record["faults"]:
        print(" ", line)


if __name__ == "__main__":
    main()
