"""The short form of benchmarks/sequential.py: wrong answers over all looks of simulated sweeps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks import extended
from benchmarks.noise import ALPHA
from benchmarks.sequential import NOISES, crossed, faults, rates, textbook
from benchmarks.simulated import Truth
from raykd.analysis.stats.sequential import levels
from raykd.analysis.stats.stages import JOINT

SWEEPS = 1000
CELLS = [
    (Truth(noise, sd, effect, looks[-1]), looks)
    for noise in NOISES
    for sd, effect, looks in [(0.5, 1.0, (2, 4)), (1.0, 1.0, (4, 7, 10)), (0.5, 0.0, (2, 3, 4, 5))]
]


@pytest.mark.parametrize(("truth", "looks"), CELLS, ids=str)
def test_wrong_answers_are_rare_over_all_looks(truth: Truth, looks: tuple[int, ...]) -> None:
    assert faults(truth, rates(truth, looks, SWEEPS, seed=0), SWEEPS) == []


def test_looks_spare_seeds_and_decide_almost_as_often() -> None:
    found = rates(Truth("normal", 0.5, 0.0, 10), (4, 7, 10), SWEEPS, seed=0)
    assert found.seeds < 8 and found.decided > found.decided_fixed - 0.02
    noisy = rates(Truth("normal", 2.0, 0.5, 10), (4, 7, 10), SWEEPS, seed=0)
    assert noisy.given_up > 0.5 and noisy.seeds < 8
    unclear = rates(Truth("normal", 1.0, 0.0, 10), (4, 7, 10), SWEEPS, seed=0)
    assert unclear.regretted < 0.05 < unclear.given_up


def test_all_of_alpha_at_every_look_would_be_caught() -> None:
    """The checks can fail: what people do who look and do not share alpha out."""
    looks = (4, 7, 10)
    assert crossed(looks, [0.05] * 3, 20_000) > 0.08
    assert crossed(looks, levels(looks, 0.05), 20_000) < 0.05 + 0.006
    truth = Truth("normal", 1.0, 1.0, 10)
    worse = replace(rates(truth, looks, SWEEPS, seed=0), h5_contradicted=0.1)
    assert [f.split()[0] for f in faults(truth, worse, SWEEPS)] == ["h5_contradicted"]


def test_the_textbook_levels_are_what_they_should_be() -> None:
    """Held against simulated scores: they spend what they say, of normal data."""
    looks, alpha = (4, 7, 10), 0.05
    found = textbook(looks, alpha)
    steps = np.random.default_rng(0).standard_normal((500_000, 3)) * np.sqrt([4, 3, 3])
    z = np.cumsum(steps, axis=1) / np.sqrt(looks)
    passed = np.maximum.accumulate(z > stats.norm.isf(found), axis=1).mean(axis=0)
    assert passed == pytest.approx(np.cumsum(levels(looks, alpha)), abs=0.001)


def test_the_long_form_was_run_and_found_nothing() -> None:
    record = json.loads((Path(__file__).parents[2] / "benchmarks" / "sequential.json").read_text())
    assert record["sweeps"] == 10_000 and record["faults"] == []
    added = record["added"]
    assert len(added) == len(list(extended.cells()))
    for rule, number in (("second", 2), ("third", 3)):  # what the verdict says of them
        worst = max(cell[rule] for cell in added)
        assert JOINT[number] - 0.01 < worst <= JOINT[number]
    assert max(c["extended"] for c in added) <= ALPHA + extended.slack(ALPHA, 10_000)
