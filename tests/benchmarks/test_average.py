"""H4's average in a short simulation: errors, coverage, and what the committed table says."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import average

ROOT = Path(__file__).parents[2]
SWEEPS = 1_000


def test_a_short_simulation_holds_its_rates() -> None:
    for i, truth in enumerate(average.truths()):
        if truth.cells in (5, 8) and truth.seeds == 3:
            found = average.rates(truth, SWEEPS, seed=i)
            assert average.faults(truth, found, SWEEPS) == [], truth


def test_the_committed_table_has_no_faults_and_is_the_one_that_is_quoted() -> None:
    record = json.loads((ROOT / "benchmarks" / "average.json").read_text(encoding="utf-8"))
    assert record["faults"] == [] and record["sweeps"] == 10_000
    assert len(record["cells"]) == len(list(average.truths()))
    at_margin = [c for c in record["cells"] if c["effect"] == average.MARGIN]
    tasks = [c for c in at_margin if c["noise"] not in average.ONE_TASK]
    own, usual = (max(c[key] for c in tasks) for key in ("equivalent", "equivalent_weighted"))
    one_task = max(c["equivalent"] for c in at_margin if c["noise"] in average.ONE_TASK)
    text = (ROOT / "docs" / "verdict.md").read_text(encoding="utf-8")
    for rate in (own, usual, one_task):
        assert f"{rate:.3f}" in text
    source = ROOT / "raykd" / "analysis" / "stats" / "random_effects.py"
    assert all(f"{rate:.3f}" in source.read_text(encoding="utf-8") for rate in (own, usual))
