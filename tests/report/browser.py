"""The browser that the tests open pages in: $RAYKD_BROWSER, an installed Chromium or Chrome, or
the one that `playwright install chromium` fetched. `python -m tests.report.browser` says which;
`make browser` installs one where there is none."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


def executable() -> str | None:
    """The path of a browser; None where there is none."""
    stated = os.environ.get("RAYKD_BROWSER")
    found = stated or next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@contextmanager
def launched() -> Iterator[Browser]:
    """A headless browser that talks to nobody of its own accord."""
    path = executable()
    assert path is not None, "no Chromium here; `make browser` installs one"
    # Chromium refuses its sandbox to root, as whom containers and CI run.
    root = ["--no-sandbox"] if hasattr(os, "getuid") and os.getuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*QUIET, *root])
        yield browser
        browser.close()


if __name__ == "__main__":
    path = executable()
    print(path or "no Chromium or Chrome here; `make browser` installs one")
    sys.exit(path is None)
