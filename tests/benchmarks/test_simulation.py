"""The short form of benchmarks/simulate.py: the verdict's error rates, coverage and power, on
simulated sweeps whose truth is known."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from benchmarks.noise import ALPHA, NAMED, NOISES, Truth, cells
from benchmarks.simulated import (
    Rates,
    faults,
    rates,
    ratios,
    shares,
    slack,
    two_level,
    wrong_answers,
)

ROOT = Path(__file__).parents[2]
LOST_TWENTY = ("collapse 5 %", -1.0)
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
    record = json.loads((ROOT / "benchmarks" / "simulation.json").read_text())
    assert record["sweeps"] == 10_000 and record["faults"] == []
    assert len(record["cells"]) == len(list(cells()))


def test_readme_names_the_noises_for_which_the_rates_do_not_hold() -> None:
    """A cell whose rate of a wrong answer is above alpha and four standard errors is of one of
    them, and its worst rate of wrong support stands in README's sentence."""
    record = json.loads((ROOT / "benchmarks" / "simulation.json").read_text())
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    (sentence,) = re.findall(r"In 10,000 simulated sweeps per setting.*?do not exclude", readme)
    worst: dict[str, float] = {}
    for cell in record["cells"]:
        truth = Truth(*(cell[k] for k in ("noise", "sd", "effect", "seeds", "off")))
        names = [f.name for f in fields(Rates)]
        told = wrong_answers(truth, Rates(**{k: cell[k] for k in names}))
        rate = max(r for r in told.values() if r is not None)
        if rate > ALPHA + slack(ALPHA, record["sweeps"]):
            assert truth.noise in NAMED
            kind = "skew" if truth.noise == "skew" else "collapse"
            worst[kind] = max(worst.get(kind, 0.0), rate)
    assert "long lower tail" in sentence and f"{worst['skew']:.3f}" in sentence
    lost = [c for c in record["cells"] if (c["noise"], c["effect"]) == LOST_TWENTY]
    assert f"up to {max(c['h1_supported'] for c in lost):.2f} of sweeps" in sentence
    h3 = max(c["h3_supported"] for c in lost if c["h3_supported"] is not None)
    assert f"(H3) in up to {h3:.2f}" in sentence


@pytest.mark.parametrize("off", [2, 3, 4])
def test_a_claim_about_every_strategy_holds_its_level_however_many_fail_it(off: int) -> None:
    truth = Truth("normal", 0.5, 1.0, 10, off)
    assert faults(truth, rates(truth, SWEEPS, seed=0), SWEEPS) == []


@pytest.mark.parametrize("effect", [-1.0, 1.0])
@pytest.mark.parametrize("seeds", [5, 10])
def test_runs_that_are_missing_by_outcome_do_not_raise_wrong_answers(
    effect: float, seeds: int
) -> None:
    truth = Truth("missing", 0.5, effect, seeds)
    found = rates(truth, SWEEPS, seed=0)
    assert faults(truth, found, SWEEPS) == []
    assert found.h1_supported <= found.by_survivors


def test_rare_collapses_are_what_few_seeds_cannot_see() -> None:
    """Known, and said: of an arm that loses 20 margins in a run of twenty."""
    found = rates(Truth("collapse 5 %", 0.5, -1.0, 10), SWEEPS, seed=0)
    assert found.h1_supported > 0.3 and found.flagged > 0.3
    assert found.flagged_where_supported == 0
