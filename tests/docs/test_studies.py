"""Every folder in studies/ says what was run, and has its scores and its verdict."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from raykd.analysis.scores.from_table import from_table

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(p for p in (ROOT / "studies").iterdir() if p.is_dir() and p.name[0] not in "._")
FILES = {
    "study.json", "scores.csv", "verdict.json", "report.html", "imitation.csv", "numbers.json",
    "maps.csv", "maps.json",
}  # fmt: skip
KEYS = {"sweep", "command", "margin", "teacher", "processor", "commit", "versions", "notes"}
MISSING = "not recorded"


def study(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
def test_a_study_says_what_was_run(folder: Path) -> None:
    told = study(folder)
    assert told.keys() - {"sweep_then"} == KEYS
    assert (ROOT / told["sweep"]).is_file() and told["command"].startswith("raykd sweep ")
    assert told["sweep"] in told["command"] and told["margin"] > 0
    for key, form in (("teacher", r"[0-9a-f]{12}"), ("commit", r"[0-9a-f]{40}")):
        assert told[key] == MISSING or re.fullmatch(form, told[key])
    assert told["versions"] == MISSING or {"python", "raykd", "torch"} <= told["versions"].keys()
    # A study whose file has another name, or has changed, says how.
    assert folder.name == Path(told["sweep"]).stem or told.get("sweep_then")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
def test_its_verdict_is_of_its_scores(folder: Path) -> None:
    assert {f.name for f in folder.iterdir()} <= FILES
    scores = from_table(folder / "scores.csv")
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["metric"] == scores.metric
    assert verdict["stated_margin"] == study(folder)["margin"]
    assert {h["id"] for h in verdict["hypotheses"]} >= {"H1", "H2", "H3", "H5"}


def test_every_study_is_listed_and_its_page_names_its_teacher() -> None:
    listed = (ROOT / "studies" / "README.md").read_text(encoding="utf-8")
    runs = (ROOT / "docs" / "runs.md").read_text(encoding="utf-8")
    assert FOLDERS
    for folder in FOLDERS:
        assert f"`{folder.name}`" in listed
        section = next((s for s in runs.split("\n## ") if f"/{folder.name}/scores.csv)" in s), "")
        if section and (told := study(folder)["teacher"]) != MISSING:
            assert f"teacher {told}: " in section
