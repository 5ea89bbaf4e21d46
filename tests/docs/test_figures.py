"""docs/figures: what stands there is what its command draws, and pages show it with a text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from raykd.maps.published import RULES

from . import strategies_figure

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FIGURES = sorted((ROOT / "docs/figures").iterdir())
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]*)\)")
MOST_PICTURES, MOST_BYTES = 6, 150 * 1024


def test_the_strategies_are_drawn_from_their_maps() -> None:
    drawn = strategies_figure.svg()
    assert strategies_figure.FILE.read_text(encoding="utf-8") == drawn, (
        "the maps have changed; run `python -m tests.docs.strategies_figure`"
    )
    width = re.search(r'<svg [^>]*width="(\d+)"', drawn)
    assert width and int(width[1]) <= 900
    assert all(f">{name}</text>" in drawn for name in RULES)


@pytest.mark.parametrize("file", FIGURES, ids=lambda f: f.name)
def test_a_page_shows_each_figure_with_a_text_or_links_to_it(file: Path) -> None:
    texts = [
        (shown, " ".join(text.split()))
        for page in PAGES
        for shown, text, target in LINK.findall(page.read_text(encoding="utf-8"))
        if (page.parent / target).resolve() == file
    ]
    assert texts and all(len(text) > 60 for shown, text in texts if shown)


def test_pictures_are_few_and_small() -> None:
    pictures = [f for f in FIGURES if f.suffix == ".png"]
    assert len(pictures) <= MOST_PICTURES
    assert all(f.stat().st_size <= MOST_BYTES for f in pictures)
