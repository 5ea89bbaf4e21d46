"""The figure of differences to forward: its bars, its caption, the table and the JSON agree, and a
finding is read from a bar as the caption says."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from random import Random

import pytest

from raykd.analysis.scores.scores import Score, Scores
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.verdict import Cell, Verdict
from raykd.report.equivalence_figure import caption, equivalence
from raykd.report.sections import sections
from raykd.report.tables import comparisons

from .opened import Opened
from .pages import table_page


def sweep(number: int) -> Verdict:
    """Judge a made-up sweep: any number of strategies and seeds, small or large effects and noise,
    often with missing runs, sometimes of a loss."""
    rng = Random(number)
    margin = rng.choice([0.02, 1.0, 30.0])
    names = ["none", "forward", "reverse", "random", "all_to_one"][: rng.randint(3, 5)]
    seeds, noise = rng.randint(1, 8), margin * rng.choice([0.05, 0.3, 2.0])
    effects = {name: margin * rng.choice([0, 0, 0.5, 2, -3]) for name in names} | {"forward": 0.0}
    common = [rng.gauss(0, margin) for _ in range(seeds)]
    items = [
        Score("task", "random", "3", name, seed, "accuracy",
              score=50 + effects[name] + common[seed] + rng.gauss(0, noise), map="[1]")
        for name in names for seed in range(seeds)
    ]  # fmt: skip
    if rng.random() < 0.5 and seeds > 1:  # another arm has the seed, so it counts as missing
        items = [s for s in items if s.seed or s.strategy != names[-1]]
    return judge(Scores(tuple(items), "accuracy", larger_is_better=rng.random() < 0.7), margin)


@pytest.fixture(scope="module")
def sweeps() -> list[Verdict]:
    return [sweep(number) for number in range(30)]


def drawn(cell: Cell, verdict: Verdict) -> dict[str, tuple[str, float, float, float]]:
    """Return what the figure draws: by strategy, the finding, low end, mark and high end."""
    figure = equivalence(1, cell, verdict).figure
    names = figure.layout.yaxis.ticktext
    return {
        names[y]: (trace.name, x - low, x, x + high)
        for trace in figure.data
        for x, y, low, high in zip(trace.x, trace.y, trace.error_x.arrayminus, trace.error_x.array,
                                   strict=trace.y != (None,))
        if y is not None
    }  # fmt: skip


def test_the_made_up_sweeps_hold_every_case(sweeps: list[Verdict]) -> None:
    cells = [(c, v) for v in sweeps for c in v.cells]
    pairs = [p for c, _ in cells for p in c.to_forward]
    assert {p.finding for p in pairs} == {"equivalent", "different", "undecided"}
    assert any(p.missing and p.interval for p in pairs) and any(p.interval is None for p in pairs)
    captions = {caption(c, v) for c, v in cells}
    assert any("Runs are missing" in words for words in captions)
    assert any("without a bar" in words for words in captions)


def test_a_finding_is_read_from_a_bar_as_the_caption_says(sweeps: list[Verdict]) -> None:
    for verdict in sweeps:
        for cell in verdict.cells:
            words = caption(cell, verdict)
            margin = float(words.split("margin, ")[1].split()[0])
            assert margin == verdict.margin
            bare = re.search(r"([\w, ]+) without a bar", words)
            unbarred = bare[1].strip().split(", ") if bare else []
            for strategy, (finding, low, mark, high) in drawn(cell, verdict).items():
                inside = -margin <= low and high <= margin
                outside = low >= margin or high <= -margin
                read = "equivalent" if inside else "different" if outside else "undecided"
                assert low <= mark <= high
                assert (low == high) == (strategy in unbarred)
                assert finding == ("undecided" if strategy in unbarred else read), strategy


def test_bars_are_those_of_the_json_and_of_the_table(sweeps: list[Verdict]) -> None:
    for verdict in sweeps:
        told = verdict.to_json()
        table = {row[0]: row for row in comparisons(verdict).rows if row[1] == "forward"}
        for cell, in_json in zip(verdict.cells, told["cells"], strict=True):
            bars = drawn(cell, verdict)
            assert bars.keys() == {c["strategy"] for c in in_json["to_forward"]}
            for c in in_json["to_forward"]:
                finding, low, mark, high = bars[c["strategy"]]
                assert (finding, mark) == (c["finding"], pytest.approx(c["effect"]))
                row = table[c["strategy"]]
                assert row[3] == finding and row[-2] == str(c["n"])
                if c["interval"] is None:
                    assert low == high and row[5] == row[6] == "-"
                    continue
                assert (low, high) == pytest.approx(tuple(c["interval"]))
                assert f"{row[6]} interval" in caption(cell, verdict)
                shown = [float(number) for number in (row[4], *row[5].split(" to "))]
                assert shown == pytest.approx([mark, low, high], abs=verdict.margin / 20)


def test_the_levels_in_the_caption_are_those_of_the_bars(sweeps: list[Verdict]) -> None:
    for verdict in sweeps:
        for cell in verdict.cells:
            levels = {f"{100 * c.level:.3g} %" for c in cell.to_forward if c.interval}
            assert {*re.findall(r"([\d.]+ %) interval", caption(cell, verdict))} == levels


GEOMETRY = """(id) => {
  const place = document.getElementById(id), { xaxis, yaxis } = place._fullLayout;
  const value = (x) => xaxis.p2r(x);
  // M high,top v height m0,half H low ...: a cap, the bar, and the other cap.
  const bars = Object.fromEntries([...place.querySelectorAll("path.xerror")].map((path) => {
    const [high, top, height, , , low] = path.getAttribute("d").match(/-?[\\d.]+/g).map(Number);
    return [yaxis.ticktext[Math.round(yaxis.p2r(top + height / 2))], [value(low), value(high)]];
  }));
  const left = place.querySelector("svg.main-svg").getBoundingClientRect().left + xaxis._offset;
  const band = place.querySelector(".shapelayer path").getBoundingClientRect();
  return { bars, band: [value(band.left - left), value(band.right - left)] };
}"""


def test_the_svg_is_drawn_at_the_numbers_of_the_json(wide: Opened) -> None:
    told = json.loads(wide.page.locator("#verdict-json").text_content() or "")
    for number, cell in enumerate(told["cells"], 1):
        found = wide.page.evaluate(f"({GEOMETRY})('figure-equivalence-{number}')")
        pixel = wide.page.evaluate(
            f"(({{ xaxis }}) => xaxis.p2r(1) - xaxis.p2r(0))"
            f"(document.getElementById('figure-equivalence-{number}')._fullLayout)"
        )
        assert found["band"] == pytest.approx([-told["margin"], told["margin"]], abs=2 * pixel)
        bars = {c["strategy"]: c["interval"] for c in cell["to_forward"]}
        assert found["bars"].keys() == bars.keys()
        for strategy, ends in bars.items():
            assert found["bars"][strategy] == pytest.approx(ends, abs=pixel)


def test_without_a_decision_the_caption_does_not_promise_one(sweeps: list[Verdict]) -> None:
    """Marks of single seeds lie inside the band, and are undecided."""
    single = next(v for v in sweeps if all(c.n == 1 for c in v.cells[0].to_forward))
    page = replace(table_page(), verdict=single)
    figure = next(d for s in sections(page) for d in s.drawings if d.id == "equivalence-1")
    assert "equivalent if" not in figure.caption and "Bars" not in figure.caption
    assert "the one seed that both have" in figure.caption
