"""The short form of benchmarks/simulate.py: the verdict's error rates, coverage and power, on
simulated sweeps whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.simulated import (
    NOISES,
    Truth,
    faults,
    rates,
    ratios,
    shares,
    slack,
    two_level,
)

SWEEPS = 1000
CELLS = [
    Truth(noise, sd, effect, seeds)
    for noise in NOISES
    for sd, effect, seeds in [(0.5, 0.0, 3), (1.5, 1.0, 2), (0.5, 1.0, 8), (0.5, 0.5, 8),
                              (0.5, 2.0, 4), (1.5, 1.0, 20)]
]  # fmt: skip


@pytest.mark.parametrize("truth", CELLS, ids=str)
def test_wrong_answers_are_rare_and_intervals_cover(truth: Truth) -> None:
    assert faults(truth, rates(truth, SWEEPS, seed=0), SWEEPS) == []


@pytest.mark.parametrize("seeds", [2, 6])
def test_the_other_intervals_cover(seeds: int) -> None:
    rng = np.random.default_rng(0)
    found = [two_level(seeds, 300, rng), *shares(seeds, 300, rng), *ratios(seeds, 300, rng)]
    for c in found:
        if "shown only" not in c.what:
            assert c.covered >= c.nominal - slack(c.nominal, c.sweeps), c


def test_a_procedure_that_ignores_the_seeds_would_be_caught() -> None:
    """The checks can fail: intervals of half the width cover too little, and are named."""
    truth = Truth("normal", 0.5, 1.0, 8)
    found = rates(truth, SWEEPS, seed=0)
    worse = type(found)(**{**vars(found), "h1_supported": 0.2, "coverage_paired_90": 0.7})
    assert [f.split()[0] for f in faults(truth, worse, SWEEPS)][:2] == [
        "h1_supported", "coverage_paired_90",
    ]  # fmt: skip


def test_the_long_form_was_run_and_found_nothing() -> None:
    record = json.loads((Path(__file__).parents[2] / "benchmarks" / "simulation.json").read_text())
    assert record["sweeps"] == 10_000 and record["faults"] == []
