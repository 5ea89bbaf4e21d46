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
    of_training = {r["steps"]: 100 * median(shares(r, COSINES)) for r in RESULTS}
    stated = f"it was {of_training[100]:.1f} % of 100 steps and {of_training[300]:.1f} % of 300"
    assert stated in text_of("angles.md")
    in_steps = sorted(median(r[R2] / r["step"] for r in result["repeats"]) for result in RESULTS)
    stated = f"takes {in_steps[0]:.1f} to {in_steps[-1]:.1f} steps of MiniLM"
    assert stated in text_of("verdict.md")


def text_of(page: str) -> str:
    """The text of a page of docs/, without its line breaks."""
    return " ".join((DOCS / page).read_text(encoding="utf-8").split())
