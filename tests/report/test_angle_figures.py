"""The section on angles in a real browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from raykd.analysis.summary.acute_angles import add_angles
from raykd.report.curve_figures import Course
from raykd.report.mechanism import angles
from raykd.report.page import Page
from raykd.report.render import html

from ..analysis.summary.test_acute_angles import seen
from .opened import NARROW, WIDE, opened
from .pages import INITS, TASK, page
from .test_page import BOXES, OVERLAPS

STRATEGIES = ("forward", "reverse", "all_to_one", "random")


def with_angles() -> Page:
    plain = page()
    shares = {"raw": 0.9, "shuffled": 0.7, "untrained": 0.8}
    found = [
        replace(seen(name, seed, shares, score=80 + i + seed), task=TASK, init=init)
        for init in INITS for i, name in enumerate(STRATEGIES) for seed in range(3)
    ]  # fmt: skip
    courses = [Course(s.init, s.strategy, s.seed, ((25, 0.95), (50, 0.9))) for s in found]
    verdict = add_angles(plain.verdict, found)
    return replace(plain, verdict=verdict, angles=angles(verdict, found, courses))


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_drawn_and_readable_at_both_widths(browser: Browser, tmp_path: Path, width: int) -> None:
    with opened(browser, html(with_angles()), tmp_path, width) as found:
        boxes = found.page.evaluate(BOXES)
        mine = [f"figure-{d}" for d in ("angles-1", "angles-2", "angles-course-1",
                                        "angles-course-2", "angles-gaps")]  # fmt: skip
        assert {k for k in boxes if k.startswith("figure-angles")} == set(mine)
        assert all(boxes[name]["marks"] > 0 for name in mine)
        assert [o for o in found.page.evaluate(OVERLAPS) if o[0] in mine] == []
        assert found.page.evaluate("document.documentElement.scrollWidth") == width
        assert found.said == [] and found.asked == [found.page.url]
        found.page.screenshot(path=tmp_path / f"angles-{width}.png", full_page=True)
        rows = found.cells("Evidence")
        assert [row[0] for row in rows] == ["H1", "H2", "H3", "H5"] * 2
        words = found.page.locator("#angles").inner_text()
        assert "the paper's own figure" in words and "lowest 90.0 %" in words
