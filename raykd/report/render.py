"""Write the page as one self-contained HTML file, and its figures as files for a paper."""

from __future__ import annotations

import base64
import gzip
import importlib.resources
import json
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from raykd.errors import UserError
from raykd.report.page import Page
from raykd.report.plotting import Drawing
from raykd.report.sections import sections
from raykd.version import __version__

PAPER_WIDTH = 720  # pixels of a figure for a paper


def html(page: Page) -> str:
    """Return the page as HTML: under 5 MB with a few thousand trials, mostly plotly's library."""
    parts = sections(page)
    drawings = [d for s in parts for d in s.drawings]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("raykd.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    return environment.get_template("report.html").render(
        page=page,
        sections=parts,
        version=__version__,
        style=_asset("report.css"),
        script=_asset("report.js"),
        plotly=base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode(),
        drawings_json=_json([{"id": d.id, **_plain(d)} for d in drawings]),
        verdict_json=_json(page.verdict.to_json()),
    )


def _code(line: str) -> Markup:
    """Return a line as HTML, with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(line))))


def _asset(name: str) -> str:
    folder = importlib.resources.files("raykd.report") / "templates"
    return (folder / name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    """Return JSON for a script element, escaped so that no text in it can end the element."""
    return json.dumps(value).replace("<", "\\u003c")


def _plain(drawing: Drawing) -> dict[str, Any]:
    figure = json.loads(drawing.figure.to_json())
    return {"data": figure["data"], "layout": figure["layout"]}


def write_figures(page: Page, folder: Path) -> tuple[Path, ...]:
    """Write each figure of the page as SVG and PNG and return the paths. Kaleido renders them with
    the local Chrome or Chromium. Raises UserError without one."""
    import kaleido
    from kaleido.errors import ChromeNotFoundError

    folder.mkdir(parents=True, exist_ok=True)
    wanted = [
        {"fig": d.figure, "path": folder / f"{d.id}.{kind}",
         "opts": {"width": PAPER_WIDTH, "height": d.height, "scale": 1 if kind == "svg" else 3}}
        for s in sections(page) for d in s.drawings for kind in ("svg", "png")
    ]  # fmt: skip
    try:
        # MathJax would be fetched from the network, and no label needs it.
        kaleido.write_fig_from_object_sync(wanted, kopts={"mathjax": False})
    except ChromeNotFoundError as error:
        raise UserError(
            "--figures: no Chrome or Chromium here to draw them with; install one (Debian: "
            "apt-get install chromium), or leave --figures out"
        ) from error
    return tuple(w["path"] for w in wanted)
