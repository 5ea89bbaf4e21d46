"""One headless browser for each test process, and one page with everything on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from raykd.report.page import Page
from raykd.report.render import html

from .browser import launched
from .opened import NARROW, Opened, opened
from .pages import page


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with launched() as opened:
        yield opened


@pytest.fixture(scope="session")
def whole() -> Page:
    return page()


@pytest.fixture(scope="session")
def text(whole: Page) -> str:
    return html(whole)


@pytest.fixture(scope="session")
def wide(browser: Browser, text: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """One page for the tests that only look."""
    with opened(browser, text, tmp_path_factory.mktemp("wide")) as found:
        yield found


@pytest.fixture(scope="session")
def narrow(
    browser: Browser, text: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opened]:
    """The same page on a phone."""
    with opened(browser, text, tmp_path_factory.mktemp("narrow"), NARROW) as found:
        yield found
