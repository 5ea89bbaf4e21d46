"""Figure of the layer maps, with lines from teacher block to student block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from raykd.maps.depth import Depth
from raykd.maps.grid import state_label
from raykd.maps.layer_map import LayerMap
from raykd.report.plotting import GREY, INK, Drawing, Mark, canvas, faded, text

ROW, PITCH = 132, 3.3  # height of one strategy's row, in pixels and in axis units


@dataclass(frozen=True)
class Drawn:
    """Maps of a strategy, one for each seed; usually they are all equal."""

    strategy: str
    maps: tuple[LayerMap, ...]


def layer_maps(drawn: Sequence[Drawn], teacher: Depth, looks: dict[str, Mark]) -> Drawing:
    """Draw a row per strategy: teacher blocks above, student blocks below, a line for each pair. A
    line that only some seeds have is thinner. Encoder-decoders have a row per stack."""
    words = "; ".join(f"{d.strategy}: {_in_words(d)}" for d in drawn)
    rows = [row for one in drawn for row in _stacks(one, teacher)]
    figure = canvas(ROW * len(rows) + 20, "", None)
    embedding = any(0 in pair for r in rows for m in r.one.maps for pair in m.matched_blocks())
    first = 0 if embedding else 1
    widest = max(max(r.teacher, r.depth) for r in rows)
    for number, row in enumerate(rows):
        one, blocks, depth = row.one, row.teacher, row.depth
        top = -PITCH * number
        bottom = top - 1.45
        _lines(figure, one, blocks, (top, bottom), looks[one.strategy].colour)
        upper = [(t, _place(t, blocks), state_label(t)) for t in range(first, blocks + 1)]
        lower = [(s, _place(s, depth), state_label(s)) for s in range(first, depth + 1)]
        _blocks(figure, upper, top, "top center", blocks > 16)
        _blocks(figure, lower, bottom, "bottom center", depth > 16)
        figure.add_annotation(
            x=0, xref="paper", xanchor="left", y=top + 1.0, showarrow=False,
            text=f"<b>{text(one.strategy)}</b>{row.stack}  {_in_words(one)}", font={"size": 13},
        )  # fmt: skip
    figure.update_xaxes(visible=False, range=[-0.04 if embedding else 1 / widest - 0.06, 1.06])
    figure.update_yaxes(visible=False, range=[-PITCH * len(rows) + 1.1, 1.3])
    return Drawing("maps", "Which teacher block each student block imitates", words, figure,
                   figure.layout.height)  # fmt: skip


@dataclass(frozen=True)
class _Row:
    """One stack of a strategy's maps."""

    one: Drawn
    teacher: int
    stack: str = ""

    @property
    def depth(self) -> int:
        return len(self.one.maps[0].blocks)


def _stacks(one: Drawn, teacher: Depth) -> list[_Row]:
    if teacher.decoder is None:
        return [_Row(one, teacher.encoder)]
    halves = zip(*(m.halves for m in one.maps), strict=True)
    stacks = zip(halves, teacher.stacks, (", encoder", ", decoder"), strict=True)
    return [_Row(Drawn(one.strategy, maps), depth, stack) for maps, depth, stack in stacks]


def _lines(
    figure: go.Figure, one: Drawn, teacher: int, levels: tuple[float, float], colour: str
) -> None:
    depth = len(one.maps[0].blocks)
    pairs = Counter(pair for m in one.maps for pair in m.matched_blocks())
    for (s, t), count in sorted(pairs.items()):
        share = count / len(one.maps)
        figure.add_trace(
            go.Scatter(
                x=[_place(t, teacher), _place(s, depth)],
                y=list(levels),
                mode="lines",
                line={"width": 1 + 2.5 * share, "color": faded(colour, 0.35 + 0.65 * share)},
                hovertext=f"student block {s} imitates teacher block {t}, "
                f"{count} of {len(one.maps)} maps",
                hoverinfo="text",
            )
        )


def _place(block: int, blocks: int) -> float:
    """Return the relative position of a block in its model, 0 to 1, so that the lines of forward
    are nearly vertical."""
    return block / blocks


def _blocks(
    figure: go.Figure,
    blocks: Iterable[tuple[int, float, str]],
    level: float,
    side: str,
    crowded: bool,
) -> None:
    """Draw numbered dots. In a deep model only the first and every fifth are numbered."""
    placed = list(blocks)
    figure.add_trace(
        go.Scatter(
            x=[x for _, x, _ in placed],
            y=[level] * len(placed),
            mode="markers+text",
            marker={"size": 7, "color": INK},
            text=[n if not crowded or b < 2 or b % 5 == 0 else "" for b, _, n in placed],
            textposition=side,
            textfont={"size": 12, "color": GREY},
            hoverinfo="skip",
        )
    )


def _in_words(one: Drawn) -> str:
    different = sorted({str(m) for m in one.maps})
    if not any(m.pairs() for m in one.maps):
        return "matches nothing"
    return different[0] if len(different) == 1 else f"{len(different)} maps"
