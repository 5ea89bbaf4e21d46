"""A page opened in the browser, and all that it said and asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page

Scheme = Literal["light", "dark"]
WIDE, NARROW = 1400, 390  # pixels: a desk's screen, a phone's


@dataclass
class Opened:
    page: Page
    said: list[str] = field(default_factory=list)
    """Errors and warnings on the console, uncaught errors."""
    asked: list[str] = field(default_factory=list)
    """Addresses that the page asked for."""

    def cells(self, caption: str) -> list[list[str]]:
        """The text of a table's body, row by row."""
        table = self.page.locator("table").filter(
            has=self.page.locator("caption", has_text=caption)
        )
        script = "t => [...t.tBodies[0].rows].map(r => [...r.cells].map(c => c.textContent))"
        found: list[list[str]] = table.first.evaluate(script)
        return found


@contextmanager
def opened(
    browser: Browser, html: str, folder: Path, width: int = WIDE, scheme: Scheme = "light"
) -> Iterator[Opened]:
    """Opened from a file, as a person does; returns when every figure is drawn."""
    file = folder / "report.html"
    file.write_text(html, encoding="utf-8")
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(300_000)  # milliseconds; a busy machine draws slowly
    found = Opened(context.new_page())
    found.page.on("console", lambda m: found.said.append(f"{m.type}: {m.text}"))
    found.page.on("pageerror", lambda e: found.said.append(f"uncaught: {e}"))
    found.page.on("request", lambda r: found.asked.append(r.url))
    found.page.goto(file.as_uri())
    # Not wait_for_function: it evaluates text, which the page's content security policy forbids.
    found.page.locator("html[data-drawn]").wait_for(state="attached")
    yield found
    context.close()
