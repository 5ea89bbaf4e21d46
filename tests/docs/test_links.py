"""Links between the pages lead somewhere: the file is there, and so is the heading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    page for folder in ("", "docs", "studies") for page in sorted((ROOT / folder).glob("*.md"))
]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]*)\)")


def anchors(page: Path) -> set[str]:
    """Names of the headings, as GitHub makes them, and stated ones."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    named = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
    return named | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        file, _, heading = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (heading and heading not in anchors(target)):
            broken.append(link)
    assert not broken
