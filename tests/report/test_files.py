"""What the page hands out: scores and verdict as files, and the citation."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from raykd.analysis.scores.from_table import from_table
from raykd.analysis.scores.loss_weights import over_weights
from raykd.analysis.verdict.judge import judge
from raykd.report.page import Page
from raykd.report.provenance import files

from .opened import Opened
from .pages import scores


def content(page: Page) -> dict[str, str]:
    return {
        e.text: base64.b64decode(e.href.partition("base64,")[2]).decode()
        for e in files(page).downloads
    }


def test_the_downloads_are_the_scores_and_the_verdict(
    wide: Opened, whole: Page, tmp_path: Path
) -> None:
    for name in ("tiny-scores.csv", "tiny-verdict.json"):
        with wide.page.expect_download() as download:
            wide.page.get_by_role("link", name=name).click()
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
    told = json.loads((tmp_path / "tiny-verdict.json").read_text("utf-8"))
    assert told == json.loads(json.dumps(whole.verdict.to_json()))
    table = from_table(tmp_path / "tiny-scores.csv")
    plain = [(s.init, s.strategy, s.seed, s.score, s.control) for s in table.items]
    assert sorted(plain) == sorted(
        (s.init, s.strategy, s.seed, s.score, s.control) for s in scores().items
    )
    assert table.margin == whole.verdict.margin
    assert wide.said == [] and wide.asked == [wide.page.url]


@pytest.mark.parametrize("missing", [0, 2])
def test_the_table_judged_again_says_the_same(missing: int, tmp_path: Path, whole: Page) -> None:
    items = [
        replace(s, map="" if s.strategy == "none" else "[1, 2, 3]")
        for s in scores().items if s.strategy != "reverse" or s.seed >= missing
    ]  # fmt: skip
    at_weights, _ = over_weights(
        [replace(s, weight="" if s.strategy == "none" else weight, score=s.score + offset)
         for weight, offset in (("0.3", 0.0), ("1", 0.4)) for s in items
         if weight == "1" or s.strategy != "none"], (), True,
    )  # fmt: skip
    for made, weights in ((tuple(items), {""}), (at_weights, {"0.3", "1", "tuned"})):
        file = tmp_path / "first.csv"
        first = judge(replace(scores(), items=made, explored=(), problems=()), 1.0)
        file.write_text(content(replace(whole, verdict=first))["tiny-scores.csv"], "utf-8")
        again = judge(from_table(file), 1.0)
        assert {c.weight for c in first.cells} == weights
        cells = {(c.init, c.weight): c for c in again.cells}
        for cell in first.cells:
            if cell.weight == "tuned":  # by the scores on select, which the page does not hold
                continue
            same = cells[cell.init, cell.weight]
            assert [c.interval for c in same.to_forward] == [c.interval for c in cell.to_forward]
            assert [h.status for h in same.hypotheses] == [h.status for h in cell.hypotheses]


def test_tasks_of_different_metrics_have_no_table(whole: Page) -> None:
    page = replace(whole, verdict=replace(whole.verdict, metric="accuracy, f1"))
    assert [*content(page)] == ["tiny-verdict.json"]


def test_the_citation(wide: Opened) -> None:
    block = wide.page.locator("#files pre")
    assert block.is_visible()
    text = block.inner_text()
    assert re.findall(r"^@(\w+)\{", text, re.MULTILINE) == ["inproceedings", "software"]
    assert "2502.04499" in text and text.count("{") == text.count("}")
