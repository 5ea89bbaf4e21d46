"""Pictures of a finished sweep's report and of MLflow's pages of it, for docs/figures:

python -m tests.report.pictures quickstart.yaml
python -m tests.report.pictures quickstart.yaml --whole FOLDER    # whole pages, to look at
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from .browser import launched
from .opened import NARROW, WIDE, Opened, Scheme, opened
from .served import ROOT, served

FIGURES = ROOT / "docs/figures"
COLOURS = 256  # of a picture's palette
SECONDS = 60_000
"""In milliseconds; a busy machine serves MLflow's pages slowly."""
REPORT: dict[str, tuple[int, Scheme]] = {
    "report": (WIDE, "light"),
    "report-dark": (WIDE, "dark"),
    "report-phone": (NARROW, "light"),
    "report-phone-dark": (NARROW, "dark"),
}
"""Name of a picture: width of the window in pixels, colour scheme."""


def report(sweep_file: Path) -> str:
    """Return the report that the command writes for the sweep."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "report.html"
        command = [sys.executable, "-m", "raykd", "report", sweep_file.name, "--out", str(out)]
        subprocess.run(command, cwd=sweep_file.parent, check=True, stderr=subprocess.DEVNULL)
        return out.read_text(encoding="utf-8")


def first_screen(page: Opened) -> bytes:
    """Return a picture from the top of the report to the end of its verdict."""
    box = page.page.locator("#verdict").bounding_box()
    assert box is not None
    width = page.page.evaluate("innerWidth")
    clip = {"x": 0, "y": 0, "width": width, "height": box["y"] + box["height"]}
    return page.page.screenshot(full_page=True, clip=clip)  # type: ignore[arg-type]


BUTTON = "[data-component-id='mlflow.{}']"


def confirm_runs(page: Page, link: str) -> bytes:
    """Return a picture of the page that `raykd ui` opens, without MLflow's panel for chats."""
    page.goto(link)
    scores = page.locator("[role=gridcell][col-id^='metrics.']")
    expect(scores.nth(4)).to_be_in_viewport()
    close = page.locator(BUTTON.format("assistant.chat_panel.close"))
    close.click()
    page.locator(BUTTON.format("experiment_page.shared_view.dismiss")).click()
    expect(close).to_have_count(0)
    page.mouse.move(0, 0)
    return page.screenshot(animations="disabled")


def note(page: Page) -> bytes:
    """Return a picture of the experiment's note, opened on the same page."""
    page.locator(BUTTON.format("experiment.metadata_editor.expand_button")).click()
    expect(page.get_by_text("Details: raykd verdict")).to_be_in_viewport()
    page.mouse.move(0, 0)
    return page.screenshot(animations="disabled")


def write(picture: bytes, name: str, folder: Path) -> None:
    """Write a picture with its most frequent colours, which keeps the file small. The others, of
    smoothed edges, become their nearest."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.png"
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    frequent = sorted(image.getcolors(image.width * image.height), reverse=True)[:COLOURS]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in frequent for part in colour])
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file}: {image.width} x {image.height}, {file.stat().st_size / 1024:.0f} KB")


def take(sweep_file: Path, browser: Browser, whole: Path | None) -> None:
    text = report(sweep_file)
    for name, (width, scheme) in REPORT.items():
        with TemporaryDirectory() as folder:
            with opened(browser, text, Path(folder), width, scheme) as page:
                if whole is not None:
                    write(page.page.screenshot(full_page=True), name, whole)
                else:
                    write(first_screen(page), name, FIGURES)
    expect.set_options(timeout=SECONDS)
    with served(sweep_file) as ui:
        page = browser.new_page(viewport={"width": WIDE, "height": 900})
        page.set_default_timeout(SECONDS)
        write(confirm_runs(page, ui.link), "mlflow-runs", whole or FIGURES)
        write(note(page), "mlflow-note", whole or FIGURES)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Pictures of a finished sweep, for docs/figures.")
    parser.add_argument("sweep", type=Path, help="sweep file")
    parser.add_argument("--whole", type=Path, help="write pictures of whole pages to this folder")
    arguments = parser.parse_args()
    with launched() as chromium:
        take(arguments.sweep.resolve(), chromium, arguments.whole)
