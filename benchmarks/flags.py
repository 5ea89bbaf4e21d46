"""False positives of the verdict's collapse rules: python -m benchmarks.flags

Simulated sweeps of benchmarks/noise.py whose arms have equal means, judged by both rules of
raykd/analysis/stats/collapse.py. Writes benchmarks/flags.{json,md}.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from benchmarks.noise import MARGIN, NOISES, SDS, SEEDS, Truth, draw
from raykd.analysis.stats.collapse import apart, far_below

HERE = Path(__file__).parent
SWEEPS = 2000


@dataclass(frozen=True)
class Flags:
    """Shares of sweeps in which a run of some arm is flagged: by its distance to the middle of its
    arm, and by that or a gap in its arm. The worst over the SDs of benchmarks/noise.py."""

    noise: str
    seeds: int
    by_distance: float
    by_either: float


def simulated(cell: tuple[str, int], sweeps: int = SWEEPS) -> Flags:
    noise, seeds = cell
    shares = []
    for sd in SDS:
        rng = np.random.default_rng([seeds, *noise.encode(), int(10 * sd)])
        arms, none = draw(Truth(noise, sd, 0.0, seeds), sweeps, rng)
        scores = np.concatenate([arms, none[..., None]], axis=-1)
        distant = far_below(scores, MARGIN).any(axis=(1, 2))
        gap = np.array([apart(sweep, MARGIN).any() for sweep in scores])
        shares.append((float(distant.mean()), float((distant | gap).mean())))
    return Flags(noise, seeds, *(max(rule) for rule in zip(*shares, strict=True)))


def table(cells: list[Flags]) -> str:
    lines = ["| noise | " + " | ".join(f"{n} seeds" for n in SEEDS) + " |"]
    lines.append("|" + "---|" * (1 + len(SEEDS)))
    for noise in dict.fromkeys(c.noise for c in cells):
        row = [f"{c.by_distance:.3f}, {c.by_either:.3f}" for c in cells if c.noise == noise]
        lines.append(f"| {noise} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def main() -> None:
    with Pool() as pool:
        cells = pool.map(simulated, [(noise, n) for noise in (*NOISES, "skew") for n in SEEDS])
    record = {"sweeps": SWEEPS, "cells": [asdict(c) for c in cells]}
    (HERE / "flags.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (HERE / "flags.md").write_text(
        f"""# Runs that count as collapsed where none has

`python -m benchmarks.flags`: {SWEEPS:,} sweeps a cell of six arms with equal means, the worst of
two SDs. The share of sweeps in which some run is flagged: by its distance to the middle of its arm,
then by that or a gap in its arm (raykd/analysis/stats/collapse.py). A run of a heavy tail that lies
so far off is as good as one.

{table(cells)}
""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
