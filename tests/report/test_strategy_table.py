"""The strategy table, the shares of the teacher, advice, and links to runs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from raykd.analysis.verdict.context import TeacherScore
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.verdict import Verdict
from raykd.report.page import Entry, Page
from raykd.report.sentences import advice
from raykd.report.strategy_table import controls, shares, strategies
from raykd.report.tables import seed_table

from .opened import Opened
from .pages import GAINS, INITS, SERVER, scores, table_page


def plain(cell: str | Entry) -> str:
    return cell if isinstance(cell, str) else cell.text


def test_the_table_is_the_json(wide: Opened) -> None:
    told = json.loads(wide.page.locator("#verdict-json").text_content() or "")
    rows = {(row[0], row[1]): row for row in wide.cells("Test accuracy of every strategy")}
    aside = {(row[0], row[1]): row for row in wide.cells("Controls")}
    teacher = told["teacher"]["test"]
    for cell in told["cells"]:
        pairs = {c["strategy"]: c for c in cell["to_forward"]}
        for arm in cell["arms"]:
            row = (aside if arm["control"] else rows).pop((arm["strategy"], cell["init"]))
            assert float(row[2]) == pytest.approx(arm["mean"], abs=0.005)
            low, high = map(float, row[3].split(" to "))
            assert low < arm["mean"] < high
            share = 100 * arm["mean"] / teacher
            assert float(row[7].removesuffix(" %")) == pytest.approx(share, abs=0.05)
            assert row[8] == str(len(arm["scores"]))
            if arm["strategy"] in pairs:
                pair = pairs[arm["strategy"]]
                effect, low, _, high = row[4].replace("(", "").replace(")", "").split()
                numbers = [float(effect), float(low), float(high)]
                assert numbers == pytest.approx([pair["effect"], *pair["interval"]], abs=0.005)
                assert row[5] == f"{100 * pair['level']:.3g} %" and row[6] == pair["finding"]
    assert [*rows] == [("teacher", "every"), ("majority class", "every")] and not aside
    assert rows["teacher", "every"][7] == "100.0 %"


def test_a_click_sorts_by_size_and_a_second_one_the_other_way(wide: Opened) -> None:
    table = wide.page.locator("table").filter(
        has=wide.page.locator("caption", has_text="of every strategy")
    )
    button = table.locator("thead button", has_text="mean")

    def means() -> list[float]:
        return [float(row[2]) for row in wide.cells("Test accuracy of every strategy")]

    before = means()
    button.click()
    assert means() == sorted(before, reverse=True) != before
    assert table.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    button.press("Enter")
    assert means() == sorted(before)
    table.locator("thead button", has_text="difference").click()
    effects = [row[4] for row in wide.cells("Test accuracy of every strategy")]
    known = [float(e.split()[0]) for e in effects if e != "-"]
    assert known == sorted(known, reverse=True) and effects[len(known) :] == ["-"] * 6
    table.locator("thead button", has_text="strategy").click()
    names = [row[0] for row in wide.cells("Test accuracy of every strategy")]
    assert names == sorted(names)


def test_a_name_and_a_dot_open_their_runs(wide: Opened, whole: Page) -> None:
    links = wide.page.locator("#strategies a").evaluate_all(
        "all => all.map((a) => [a.textContent, a.href, a.rel])"
    )
    assert {name for name, _, _ in links} == set(GAINS)
    for name, href, rel in links:
        assert href.startswith(f"{SERVER}/#/experiments/7/runs?") and rel == "noopener"
        assert f"params.strategy%20%3D%20%22{name}%22" in href
    dots = wide.page.evaluate(
        """document.getElementById("figure-seeds-1").data.filter((t) => t.text)
           .flatMap((t) => t.text.map((s, i) => [s, t.customdata[i]]))"""
    )
    arms = {a.strategy: a for a in whole.verdict.cells[0].arms}
    run = whole.runs.of(whole.verdict.cells[0], arms["forward"], 2)
    assert run and [f"forward, seed 2 (run {run[:8]})", whole.runs.page(run)] in dots
    assert {row[4] for row in wide.cells("Every score")} == set(whole.runs.ids.values())


def test_without_a_server_the_page_has_run_ids_and_no_links(whole: Page) -> None:
    page = replace(whole, runs=replace(whole.runs, server=""))
    tables = [strategies(page), seed_table(page), controls(page)]
    entries = [e for t in tables if t for row in t.rows for e in row if isinstance(e, Entry)]
    assert not any(e.href for e in entries)
    assert {*whole.runs.ids.values()} <= {e.text for e in entries}
    assert seed_table(table_page()).heads == ("strategy", "setting", "seed", "accuracy")


# Shares


def with_teacher(verdict: Verdict, test: float) -> Verdict:
    return replace(verdict, teacher=TeacherScore("", verdict.metric, test, test, 50.0))


def test_shares_of_the_teacher() -> None:
    verdict = with_teacher(table_page().verdict, 100.0)
    table = shares(verdict, 3)
    assert table is not None and table.heads == ("strategy", *INITS)
    rows = {plain(row[0]): [plain(c) for c in row[1:]] for row in table.rows}
    assert rows["teacher"] == ["100.0 % (100.00)"] * 2
    assert rows["majority class"] == ["50.0 % (50.00)"] * 2
    for i, cell in enumerate(verdict.cells):
        for arm in cell.arms:
            if not arm.control:
                assert rows[arm.strategy][i] == f"{arm.mean:.1f} % ({arm.mean:.2f})"
    assert "untrained" not in rows
    ranges = shares(verdict, 1)
    assert ranges is not None
    means = sorted(a.mean for c in verdict.cells for a in c.arms if a.strategy == "random")
    assert ("random", f"{means[0]:.1f} % to {means[1]:.1f} %") in ranges.rows


def test_no_share_of_a_loss_or_without_a_teacher() -> None:
    assert shares(table_page().verdict, 3) is None
    loss = judge(replace(scores(), metric="loss", larger_is_better=False), 1.0)
    assert shares(with_teacher(loss, 2.0), 3) is None
    page = replace(table_page(), verdict=with_teacher(loss, 2.0))
    assert {plain(row[7]) for row in strategies(page).rows} == {"-"}


# Advice


def test_advice_follows_the_findings() -> None:
    items = scores(12).items
    level = replace(scores(), explored=(), items=tuple(
        replace(s, score=s.score - GAINS[s.strategy] * (s.strategy != "none")) for s in items
    ))  # fmt: skip
    (line,) = advice(judge(level, 1.0))
    assert line.startswith("Take forward, or the cheapest strategy: all lie within 1 point")
    lines = advice(table_page().verdict)
    assert "Do not take random: behind forward by more than 1 point of accuracy." in lines
    ahead = replace(level, items=tuple(
        replace(s, score=s.score + 5 * (s.strategy == "reverse")) for s in level.items
    ))  # fmt: skip
    assert advice(judge(ahead, 1.0))[0].startswith("Take reverse rather than forward")
    few = replace(level, items=tuple(s for s in scores(noise=3.0).items if s.seed < 2))
    assert any("before you choose" in line for line in advice(judge(few, 1.0)))
    one = replace(level, items=tuple(s for s in items if s.seed < 1))
    assert any(line.startswith("Run at least two seeds") for line in advice(judge(one, 1.0)))
    short = tuple(s for s in level.items if s.strategy != "reverse" or s.seed > 1)
    assert "Run the missing trials before you choose: raykd sweep a.yaml." in advice(
        judge(replace(level, items=short), 1.0), "raykd sweep a.yaml"
    )
    assert advice(judge(replace(level, items=()), 1.0))[0].startswith("Run forward and one other")
