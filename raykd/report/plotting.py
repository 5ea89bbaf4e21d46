"""Common parts of all figures: drawings with alt text, colours, signs and axes."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

# Okabe and Ito's palette for colour-blind readers, without yellow, which is hard to see on white.
# Signs and labels carry the same information, for greyscale print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SIGNS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
INK, GREY, PALE, BAND = "#1a1a1a", "#595959", "#d9d9d9", "rgba(0, 114, 178, 0.12)"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Drawing:
    """A figure with its title and alt text."""

    id: str
    title: str
    alt: str
    figure: go.Figure
    height: int
    """Pixels."""
    caption: str = ""
    """How to read the figure, shown below it."""
    singles: bool = False
    """Whether the figure has hidden traces of single runs, with a switch that shows them."""


@dataclass(frozen=True)
class Mark:
    colour: str
    sign: str
    dash: str = "solid"


def marks(strategies: Iterable[str]) -> Mapping[str, Mark]:
    """Return a colour, a sign and a dash for each strategy, distinct for up to 56 strategies."""
    n = len(COLOURS)
    return {
        name: Mark(COLOURS[i % n], SIGNS[(i % n + i // n) % len(SIGNS)], DASHES[i % len(DASHES)])
        for i, name in enumerate(dict.fromkeys(strategies))
    }


def text(value: object) -> str:
    """Escape a name for plotly, which interprets labels as HTML."""
    return html.escape(str(value), quote=False)


def faded(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


def canvas(height: int, x: str, y: str | None = None, **layout: object) -> go.Figure:
    """Return an empty figure with named axes. Margins adapt to the labels. Zoom and pan are off, so
    that touch scrolls the page."""
    figure = go.Figure()
    axis = {
        "showline": True, "linecolor": GREY, "gridcolor": "#ebebeb", "zeroline": False,
        "ticks": "outside", "tickcolor": GREY, "automargin": True, "fixedrange": True,
        "title": {"font": {"size": 13}},
    }  # fmt: skip
    figure.update_layout(
        template="none",
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor="white",
        plot_bgcolor="white",
        height=height,
        margin={"l": 8, "r": 12, "t": 8, "b": 8},
        legend={
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "xanchor": "left",
            "maxheight": 2000,
        },
        hoverlabel={"bgcolor": "white", "font": {"color": INK}},
        dragmode=False,
        showlegend=False,
    )
    figure.update_xaxes(**axis, title_text=x)
    figure.update_yaxes(**axis, title_text=y)
    figure.update_layout(**layout)
    return figure


def rows_height(rows: int, row_height: int = 34) -> int:
    """Return the height in pixels of a number of labelled rows and the axis."""
    return 76 + row_height * max(rows, 1)
