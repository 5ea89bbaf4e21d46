"""The short form of benchmarks/claims.py: claims that are false by just their bound."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from benchmarks.claims import ARMS, DESIGNS, Rates, cases, cells, draw, faults, judged, rates
from benchmarks.noise import NOISES, STEP
from benchmarks.simulation_page import page
from raykd.analysis.claims.stated import of_text
from raykd.analysis.scores.scores import Problem
from raykd.analysis.verdict.judge import judge

from ..analysis.made import scores, together

ROOT = Path(__file__).parents[2]
SWEEPS = 1000
CELLS = [(noise, 0.5, 5, 2, "fixed") for noise in (*NOISES, "missing")]
CELLS += [("normal", 1.5, seeds, 1, design) for design, seeds in DESIGNS.items()]


@pytest.mark.parametrize(("noise", "sd", "seeds", "settings", "design"), CELLS)
def test_false_claims_are_rarely_decided(
    noise: str, sd: float, seeds: int, settings: int, design: str
) -> None:
    assert faults([rates(noise, sd, seeds, settings, SWEEPS, design)]) == []


def test_claims_that_are_each_at_alpha_would_be_caught_together() -> None:
    found = rates("normal", 0.5, 8, 1, SWEEPS)
    assert found.any_alone > 0.1
    assert any(
        f.endswith("any_together") for f in faults([replace(found, any_together=found.any_alone)])
    )


@pytest.mark.parametrize("noise", ["normal", "coarse", "missing"])
@pytest.mark.parametrize(("better", "bound"), [(True, 0.0), (True, 0.3), (False, 1.0)])
@pytest.mark.parametrize("extended", [False, True])
def test_the_simulated_claims_are_the_verdicts(
    noise: str, better: bool, bound: float, extended: bool
) -> None:
    """The same scores, judged by the simulation and by the verdict."""
    if extended and noise == "missing":
        noise = "unequal"  # missing runs of added seeds are not simulated
    sweeps, seeds, step = 3, 8, STEP if noise == "coarse" else 0.0
    tables = cases(draw(noise, 0.8, seeds, 2, sweeps), noise)
    arms = [f"a{i}" for i in range(ARMS)]
    names, text = (arms[:2], f"{{better: a1, than: a0, by: {bound}}}") if better else (
        arms[:3], f"{{equivalent: [a0, a1, a2], within: {bound}}}"
    )  # fmt: skip
    pairs = [(1, 0)] if better else list(combinations(range(len(names)), 2))
    simulated = judged(tables, pairs, bound, better, step, "extended" if extended else "fixed")
    for i, table in enumerate(tables[0]):
        of = together(*(
            scores({a: table[k, :, n] for n, a in enumerate(arms)}, init=f"init {k}")
            for k in range(2)
        ))  # fmt: skip
        kept = tuple(s for s in of.items if np.isfinite(s.score))
        lost = tuple(
            Problem("failed", "lost", s.task, s.init, s.shape, s.strategy, seeds=(s.seed,))
            for s in of.items if not np.isfinite(s.score)
        )  # fmt: skip
        stages = ((0, 1, 2, 3), (4, 5, 6, 7)) if extended else ()
        of = replace(of, items=kept, problems=lost, resolution=step, stages=stages,
                     extend=extended, claims=of_text("claims", text))  # fmt: skip
        (claim,) = judge(of, 1.0).claims
        last = simulated.p_for[-1, i], simulated.p_against[-1, i]
        assert (claim.p_for, claim.p_against) == pytest.approx(last, rel=1e-6)


def test_the_long_form_was_run_and_is_on_the_page() -> None:
    record = json.loads((ROOT / "benchmarks" / "simulation.json").read_text())
    claims = [Rates(**cell) for cell in record["claims"]]
    cell = ("noise", "sd", "seeds", "settings", "design")
    assert [tuple(getattr(r, k) for k in cell) for r in claims] == list(cells())
    assert {r.sweeps for r in claims} == {10_000} and faults(claims) == []
    written = (ROOT / "benchmarks" / "simulation.md").read_text(encoding="utf-8")
    assert written == page(record)
