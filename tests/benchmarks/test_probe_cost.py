"""The table of what measuring imitation costs has its results, and the docs state its figures."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

from benchmarks.probe_cost import COSINES, JSON, R2, page, shares

DOCS = Path(__file__).parents[2] / "docs"
RESULTS = json.loads(JSON.read_text(encoding="utf-8"))


def test_the_table_is_that_of_its_results() -> None:
    assert JSON.with_suffix(".md").read_text(encoding="utf-8") == page(RESULTS)


def test_the_docs_state_its_figures() -> None:
    (result,) = (r for r in RESULTS if r["steps"] == 300)
    assert f"it was {100 * median(shares(result, COSINES)):.0f} % of 300 steps" in " ".join(
        (DOCS / "angles.md").read_text(encoding="utf-8").split()
    )
    one = median(r[R2] / r["step"] for r in result["repeats"])
    assert f"takes {one:.0f} steps of MiniLM" in (DOCS / "verdict.md").read_text(encoding="utf-8")
