"""The page in a real browser: drawn, readable, reachable, and in accord with the verdict's JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from raykd.analysis.summary.headline import headline
from raykd.report.page import Page
from raykd.report.render import html
from raykd.report.sections import sections

from .opened import NARROW, WIDE, Opened, opened
from .pages import GAINS, INITS, page, scores, table_page

MB = 1_000_000


# Drawn


BOXES = """() => Object.fromEntries([...document.querySelectorAll(".figure")].map((f) => [f.id, {
  svg: f.querySelector("svg.main-svg").getBoundingClientRect().toJSON(),
  marks: f.querySelectorAll(".trace path, .trace .point, .hm image").length,
}]))"""

OVERLAPS = """() => [...document.querySelectorAll(".figure")].flatMap((f) => {
  const parts = f.querySelectorAll(".legend, .xtitle, .ytitle, .cartesianlayer .bg");
  const boxes = [...parts].map((e) => [e.getAttribute("class"), e.getBoundingClientRect()])
    .filter(([, b]) => b.width && b.height);
  const apart = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1
    || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
  return boxes.flatMap(([n, a], i) => boxes.slice(i + 1)
    .filter(([, b]) => !apart(a, b)).map(([m]) => [f.id, n, m]));
})"""


@pytest.mark.parametrize(("name", "width"), [("narrow", NARROW), ("wide", WIDE)])
def test_every_figure_is_drawn_without_a_word_and_without_the_network(
    request: pytest.FixtureRequest, whole: Page, name: str, width: int
) -> None:
    found: Opened = request.getfixturevalue(name)
    boxes: dict[str, Any] = found.page.evaluate(BOXES)
    wanted = {f"figure-{d.id}" for s in sections(whole) for d in s.drawings}
    assert boxes.keys() == wanted and len(wanted) == 17
    for figure, box in boxes.items():
        assert box["marks"] > 0, figure
        assert box["svg"]["width"] > 300 and box["svg"]["right"] <= width, figure
    # Wide tables scroll by themselves, the page never does.
    assert found.page.evaluate("document.documentElement.scrollWidth") == width
    assert found.said == []
    assert found.asked == [found.page.url]


def test_every_seed_is_a_dot(wide: Opened) -> None:
    for number, init in enumerate(INITS, 1):
        dots = wide.page.evaluate(
            f"""document.getElementById("figure-seeds-{number}").data
                .concat(document.getElementById("figure-controls-{number}").data)
                .filter((t) => t.text).flatMap((t) => [...t.x])"""
        )
        mine = [s.score for s in scores().items if s.init == init]
        assert sorted(dots) == pytest.approx(sorted(mine))


def test_single_runs_are_drawn_on_request(wide: Opened) -> None:
    lines = wide.page.locator("#figure-curves-1 .js-line")
    switch = wide.page.locator("figure", has=wide.page.locator("#figure-curves-1")).locator("input")
    means = lines.count()
    switch.check()
    singles = 6 * (len(GAINS) - 1)  # the control has a figure of its own
    expect(lines).to_have_count(means + singles, timeout=60_000)
    switch.uncheck()
    expect(lines).to_have_count(means, timeout=60_000)


def test_labels_do_not_overlap_their_plots_or_each_other(narrow: Opened) -> None:
    """Legends, axis titles and tick labels of each figure, on a phone."""
    assert narrow.page.evaluate(OVERLAPS) == []


def test_heads_of_tables_that_scroll_are_one_line(narrow: Opened) -> None:
    heights = narrow.page.locator("section > .scroll thead tr").evaluate_all(
        "rows => rows.map((r) => r.getBoundingClientRect().height)"
    )
    assert len(heights) > 5 and max(heights) < 45


LONG = tuple(f"strategy_{i}_with_a_{'very_' * (i % 3)}long_name" for i in range(12))

CUT = """() => [...document.querySelectorAll(".figure")].flatMap((f) => {
  const box = f.querySelector("svg.main-svg").getBoundingClientRect();
  const parts = [...f.querySelectorAll(".legendtext, .xtitle, .ytitle, .ytick text, .xtick text")];
  const out = parts.map((e) => [e.textContent, e.getBoundingClientRect()])
    .filter(([, b]) => b.left < box.left - 1 || b.right > box.right + 1
      || b.top < box.top - 1 || b.bottom > box.bottom + 1).map(([name]) => [f.id, name]);
  const scrolls = [...f.querySelectorAll(".legend .scrollbar")]
    .filter((e) => e.getBoundingClientRect().height > 0).map(() => [f.id, "scrolls"]);
  return [...out, ...scrolls];
})"""


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_many_long_names_are_cut_nowhere(
    browser: Browser, whole: Page, tmp_path: Path, width: int
) -> None:
    cell = whole.verdict.cells[0]
    arms = tuple(replace(cell.arms[1], strategy=name) for name in LONG)
    pairs = tuple(replace(cell.to_forward[0], strategy=name) for name in LONG)
    crowded = replace(cell, arms=(*cell.arms, *arms), to_forward=(*cell.to_forward, *pairs))
    courses = tuple(replace(whole.courses[0], strategy=name) for name in LONG)
    verdict = replace(whole.verdict, cells=(crowded,), published=(), shares=())
    long = replace(whole, verdict=verdict, courses=(*whole.courses, *courses), tried=(), maps=())
    with opened(browser, html(long), tmp_path, width) as found:
        assert found.page.evaluate(CUT) == []
        assert found.page.evaluate(OVERLAPS) == []
        assert found.page.evaluate("document.documentElement.scrollWidth") == width


# What it says


def test_the_text_is_the_json(wide: Opened, whole: Page) -> None:
    told = json.loads(wide.page.locator("#verdict-json").text_content() or "")
    assert told == json.loads(json.dumps(whole.verdict.to_json()))
    evidence = wide.cells("Evidence")
    assert len(evidence) == len(told["hypotheses"]) == 8
    for row, h in zip(evidence, told["hypotheses"], strict=True):
        assert (row[0], row[1], row[2]) == (h["id"], h["init"], h["status"])
        assert float(row[4]) == pytest.approx(h["effect"], abs=0.005)
        assert (int(row[7]), float(row[8])) == (h["n"], h["margin"])
        assert row[9] == ("-" if h["more_seeds"] is None else str(h["more_seeds"]))
    badges = wide.page.locator("#hypotheses .status").all_text_contents()
    assert badges == [h["status"] for h in told["hypotheses"]]


def test_the_tables_are_the_json(wide: Opened) -> None:
    told = json.loads(wide.page.locator("#verdict-json").text_content() or "")
    means, findings = {}, {}
    for cell in told["cells"]:
        means |= {(arm["strategy"], cell["init"]): arm["mean"] for arm in cell["arms"]}
        findings |= {(c["strategy"], cell["init"]): c["finding"] for c in cell["to_forward"]}
    shown = {
        (row[0].removesuffix(" (control)"), init): float(score.split()[0])
        for row in wide.cells("Test accuracy: mean over seeds")
        for init, score in zip(INITS, row[1:], strict=True)
        if row[0] != "teacher"
    }
    assert shown == pytest.approx(means, abs=0.005)
    compared = wide.cells("Comparisons")
    assert findings == {(row[0], row[2]): row[3] for row in compared if row[1] == "forward"}
    assert set(findings.values()) == {"equivalent", "different", "undecided"}


def test_keys_and_commands_are_set_as_code(wide: Opened) -> None:
    text = wide.page.locator("main").inner_text()
    assert "raykd verdict --from" in wide.page.locator("code").all_text_contents()
    assert "`" not in text


def test_the_order_of_the_paper(text: str, whole: Page) -> None:
    details = next(s for s in sections(whole) if s.id == "strategies").details
    table = next(d.table for d in details if d.title == "The layout of the paper's tables")
    assert table is not None
    names = [row[0] for row in table.rows]
    assert names[:3] == ["teacher", "none", "forward"] and names[-1] == "untrained (control)"
    assert table.heads == ("strategy", *INITS)


def test_from_the_verdict_down(whole: Page) -> None:
    assert [s.id for s in sections(whole)] == [
        "verdict", "claims", "hypotheses", "strategies", "seeds", "published", "variance", "curves",
        "maps", "search", "cost", "missing", "reproduce", "files",
    ]  # fmt: skip
    missing = next(s for s in sections(whole) if s.id == "missing").points
    assert any("diverged at step 12" in line for line in missing)
    assert "The angles were not measured." in missing


def test_claims_stand_with_their_evidence_and_with_what_holds_for_all(whole: Page) -> None:
    section = next(s for s in sections(whole) if s.id == "claims")
    assert [(f.status, f.claim) for f in section.findings] == [
        (c.status, f"{c.id}: {c.claim}.") for c in whole.verdict.claims
    ]
    (rates,) = section.points
    assert rates.startswith("Each of 3 claims errs with probability 0.05 at most.")
    (detail,) = section.details
    assert detail.table is not None
    assert len(detail.table.rows) == sum(len(c.comparisons) for c in whole.verdict.claims)
    without = replace(whole, verdict=replace(whole.verdict, claims=()))
    assert "claims" not in {s.id for s in sections(without)}


def test_a_table_of_scores_has_a_page_without_what_it_cannot_know(
    browser: Browser, tmp_path: Path
) -> None:
    alone = table_page()
    with opened(browser, html(alone), tmp_path, NARROW) as found:
        ids = found.page.locator("main > section").evaluate_all("all => all.map((s) => s.id)")
        assert ids == ["verdict", "claims", "hypotheses", "strategies", "seeds", "variance",
                       "missing", "reproduce", "files"]  # fmt: skip
        assert found.said == []


# For everyone


def test_reachable_by_keyboard(browser: Browser, text: str, tmp_path: Path) -> None:
    with opened(browser, text, tmp_path) as found:
        page = found.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("#verdict$"))
        # Whatever scrolls can be scrolled from the keyboard, and has a name.
        for region in page.locator(".scroll").all():
            assert region.get_attribute("tabindex") == "0" and region.get_attribute("aria-label")
        page.locator("summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("details").first.get_attribute("open") is not None


def test_told_to_a_screen_reader(wide: Opened) -> None:
    labels = wide.page.locator(".figure").evaluate_all(
        "all => all.map((f) => [f.getAttribute('role'), f.getAttribute('aria-label')])"
    )
    assert all(role == "img" and len(label) > 60 for role, label in labels)
    # Our own ids; plotly names its clip paths and gradients itself.
    ids = wide.page.evaluate("""[...document.querySelectorAll("[id]")]
        .filter((e) => !e.closest("svg") && !e.closest("head")).map((e) => e.id)""")
    assert len(ids) == len(set(ids)) > 30
    assert wide.page.locator("h1").count() == 1
    assert wide.page.locator("html").get_attribute("lang") == "en"


CONTRAST = """() => {
  const light = (c) => { const l = c.slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]; };
  const rgb = (s) => s.match(/[\\d.]+/g).map(Number);
  const behind = (e) => { for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] !== 0) return c; }
    return [255, 255, 255]; };
  return [...document.querySelectorAll("h1,h2,p,li,a,th,td,caption,figcaption,summary,pre,.status")]
    .map((e) => { const a = light(rgb(getComputedStyle(e).color)), b = light(behind(e));
      return [e.tagName, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]; });
}"""


def test_dark_on_light(wide: Opened) -> None:
    assert min(ratio for _, ratio in wide.page.evaluate(CONTRAST)) >= 7  # WCAG 2, AAA


INKS = """() => [...document.querySelectorAll(".figure")].flatMap((f) =>
  [...f.querySelectorAll(".xtick text, .ytick text, .legendtext, .xtitle, .annotation text")]
    .map((e) => [f.id, e.textContent, getComputedStyle(e).fill]))"""

MARKS = """() => [...document.querySelectorAll(".figure")].flatMap((f) =>
  [...f.querySelectorAll(".scatterlayer .point, .scatterlayer .js-line, path.xerror")]
    .map((e) => getComputedStyle(e))
    .map((s) => s.stroke === "none" || parseFloat(s.strokeWidth) === 0 ? s.fill : s.stroke)
    .filter((colour) => colour !== "none"))"""


def luminance(colour: str) -> float:
    parts = [int(n) / 255 for n in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_light_on_dark_and_back(wide: Opened) -> None:
    """The page follows the reader's colour scheme while it is open, and its figures with it."""
    page, figure = wide.page, "document.getElementById('figure-seeds-1')"
    before = page.evaluate(f"JSON.stringify({figure}.layout)")
    try:
        page.emulate_media(color_scheme="dark")
        page.locator("html[data-scheme=dark][data-drawn]").wait_for(state="attached")
        assert min(ratio for _, ratio in page.evaluate(CONTRAST)) >= 7
        behind = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert luminance(behind) < 0.05
        inks, marks = page.evaluate(INKS), page.evaluate(MARKS)
        assert len(inks) > 100 and min(contrast(ink, behind) for _, _, ink in inks) >= 7
        visible = {m for m in marks if not m.endswith(", 0)")}
        assert len(visible) >= 7 and min(contrast(mark, behind) for mark in visible) >= 3
    finally:
        page.emulate_media(color_scheme="light")
    page.locator("html[data-scheme=light][data-drawn]").wait_for(state="attached")
    assert page.evaluate(f"JSON.stringify({figure}.layout)") == before
    assert wide.said == []


def test_prints_within_the_paper(browser: Browser, text: str, tmp_path: Path) -> None:
    with opened(browser, text, tmp_path) as found:
        page = found.page
        widths = "[...document.querySelectorAll('.figure > div svg')].map((s) => s.clientWidth)"
        before = page.evaluate(widths)
        page.emulate_media(color_scheme="dark")
        page.locator("html[data-scheme=dark][data-drawn]").wait_for(state="attached")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert set(page.evaluate(widths)) <= {640}
        assert min(contrast(ink, "255, 255, 255") for _, _, ink in page.evaluate(INKS)) >= 7
        page.emulate_media(color_scheme="light")
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        page.locator("html[data-drawn]").wait_for(state="attached")
        assert page.evaluate(widths) == before
        assert page.pdf(format="A4").startswith(b"%PDF")
        assert found.said == []


# Hostile and large


def test_names_are_shown_as_they_are(browser: Browser, whole: Page, tmp_path: Path) -> None:
    name = "</script><img src=x onerror=alert(1)><b>bold</b>"
    cell = whole.verdict.cells[0]
    arm = replace(cell.arms[2], strategy=name)
    cell = replace(cell, arms=(*cell.arms[:2], arm, *cell.arms[3:]))
    odd = replace(whole, name=name, verdict=replace(whole.verdict, cells=(cell,)))
    with opened(browser, html(odd), tmp_path) as found:
        assert (
            found.page.locator("h1").text_content() == f"{name}: does the choice of layers matter?"
        )
        ticks = found.page.locator("#figure-seeds-1 .ytick").all_text_contents()
        assert name in ticks
        assert found.page.locator("img").count() == 0 and found.said == []


def test_a_large_sweep_stays_under_five_megabytes(whole: Page) -> None:
    large = html(page(seeds=100, evaluations=10))  # 1,400 students
    assert len(large.encode()) < 5 * MB
    assert len(html(whole).encode()) < 2.5 * MB
    assert large.count("plotly.js v") == 0 and large.count('id="plotly"') == 1


def test_a_headline_of_a_withheld_answer_names_the_missing_runs(whole: Page) -> None:
    (first, *_), verdict = whole.verdict.cells, whole.verdict
    h1 = replace(first.hypothesis("H1"), status="undecided", withheld=True)
    cell = replace(first, hypotheses=(h1, *first.hypotheses[1:]))
    assert "missing ones could undo that" in headline(replace(verdict, cells=(cell,)))
