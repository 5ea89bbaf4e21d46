"""README, the docs and the help texts: short sentences, and the field's words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from raykd.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LONGEST = 40
"""Words of a sentence."""
AVOIDED = {
    r"\bcommonest\b": "majority class",
    r"\btold\b": "logged, reported, given",
    r"\blooks?\b(?! (at|for|like|up|into|back|fine|through)\b)": "interim analysis, for one of a "
    "sweep",
}
NOT_PROSE = re.compile(
    r"^```.*?^```|<!--.*?-->|^(?: {4}|\t)[^\n]*$|^#[^\n]*$|^\|?[-: |]+\|[-: |]*$", re.M | re.S
)
BREAK = re.compile(
    r"(?<=[.!?])[\"')*_]*\s+(?=[\"'(*_`\[]*[A-Z0-9`])|\n\s*\n|\n\s*(?:[-*]|\d+\.)\s|\|"
)


def sentences(text: str) -> list[str]:
    """Sentences of a page without code, headings and links' addresses; a cell of a table and an
    item of a list begin one of their own."""
    prose = NOT_PROSE.sub("\n\n", text)
    prose = re.sub(r"\]\([^)]*\)", "]", prose)
    prose = re.sub(r"`[^`]*`", "code", prose)
    return [" ".join(part.split()) for part in BREAK.split(prose) if part and part.strip()]


def words(sentence: str) -> int:
    return len([w for w in sentence.split() if re.search(r"\w", w)])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_sentences_are_short(page: Path) -> None:
    long = [s for s in sentences(page.read_text(encoding="utf-8")) if words(s) > LONGEST]
    assert not long, "\n\n".join(f"{words(s)}: {s}" for s in long)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
@pytest.mark.parametrize("pattern", AVOIDED)
def test_words_are_the_fields(page: Path, pattern: str) -> None:
    uses = [s for s in sentences(page.read_text(encoding="utf-8")) if re.search(pattern, s)]
    assert not uses, f"write {AVOIDED[pattern]}:\n" + "\n\n".join(uses)


def test_help_texts_too() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        texts = [command.help or "", *(getattr(p, "help", None) or "" for p in command.params)]
        for text in texts:
            assert all(words(s) <= LONGEST for s in sentences(text)), (name, text)
            assert not any(re.search(pattern, text) for pattern in AVOIDED), (name, text)
