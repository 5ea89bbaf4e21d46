"""The study of docs/findings.md: its table is judged as its verdict and its page say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raykd.cli import app

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "studies" / "minilm.csv"


@pytest.fixture(scope="module")
def judged() -> dict[str, Any]:
    asked = ["verdict", "--from", str(STUDY), "--margin", "2", "--json"]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_table_is_judged_as_the_sweep_was(judged: dict[str, Any]) -> None:
    kept = json.loads(STUDY.with_name("minilm_verdict.json").read_text(encoding="utf-8"))
    wanted = [h for h in kept["hypotheses"] if h["id"] != "H6"]  # of angles, which no table has
    assert [h["says"] for h in judged["hypotheses"]] == [h["says"] for h in wanted]
    assert [h["status"] for h in judged["hypotheses"]] == [h["status"] for h in wanted]


def test_the_page_tells_what_was_judged(judged: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    cell = judged["cells"][0]
    told = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| ")}
    for arm in cell["arms"]:
        name = f"{arm['strategy']}, control" if arm["control"] else arm["strategy"]
        assert f"| {arm['mean']:.2f} |" in told[name]
    for kind in ("to_forward", "to_none"):
        for pair in cell[kind]:
            low, high = pair["interval"]
            shown = f"{pair['effect']:+.2f} ({low:+.2f} to {high:+.2f})"
            assert shown in told[pair["strategy"]]
            if kind == "to_forward":
                assert f"| {pair['finding']} |" in told[pair["strategy"]]
