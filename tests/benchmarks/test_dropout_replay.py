"""The table of what replayed dropout noise saves has its results; the docs state its figures."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

from benchmarks.dropout_replay import JSON, page, ratios

DOCS = Path(__file__).parents[2] / "docs"
RESULT = json.loads(JSON.read_text(encoding="utf-8"))


def test_the_table_is_that_of_its_results() -> None:
    assert JSON.with_suffix(".md").read_text(encoding="utf-8") == page(RESULT)


def test_the_docs_state_its_figures() -> None:
    found = {
        p: sorted(median(ratios(s)) for s in RESULT["settings"] if s["precision"] == p)
        for p in ("fp32", "bf16")
    }
    fp32, bf16 = (" to ".join(dict.fromkeys(f"{r:.2f}" for r in found[p])) for p in found)
    text = " ".join((DOCS / "performance.md").read_text(encoding="utf-8").split())
    assert f"takes {fp32} times as long in fp32, and {bf16} times under bf16 autocast" in text


def test_noise_is_kept_in_the_form_that_is_cheaper() -> None:
    ms = {form: median(found) for form, found in RESULT["forms_ms"].items()}
    assert ms["factors"] < ms["bits"] < ms["drawn"]
