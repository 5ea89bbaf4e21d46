"""`raykd ui` on a finished sweep: it opens the confirm runs in MLflow's own pages."""

from __future__ import annotations

import re
import signal
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from raykd.analysis.summary.headline import headline
from raykd.cluster.launch import summary
from raykd.sweep import verdict
from raykd.sweep.sweep import Sweep
from raykd.tracking.launch import Launch, newest
from raykd.tracking.pages import links
from raykd.tracking.pages.server import installed

from ..support.finished import finish, working_in
from ..support.world import write_sweep
from .served import Served, served

SECONDS = 60_000  # in milliseconds; a busy machine serves MLflow's UI slowly


@dataclass(frozen=True)
class Shown:
    sweep: Sweep
    ui: Served


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A finished sweep of six confirm runs, and `raykd ui` on it in a process of its own."""
    with working_in(tmp_path_factory.mktemp("ui")) as folder:
        sweep = finish(write_sweep(folder))
        sweep.ledger.refresh()
        client, experiment = sweep.ledger.client, sweep.ledger.experiment
        parent = newest(client, experiment)
        assert parent is not None
        summary.leave(sweep.state(), Launch(client, parent.info.run_id), print)
        with served(folder / "sweep.yaml") as ui:
            assert ui.name == "tiny"
            yield Shown(sweep, ui)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(SECONDS)
    expect.set_options(timeout=SECONDS)
    yield context.new_page()
    context.close()


def test_the_link_shows_strategy_seed_and_score_of_every_confirm_run(
    shown: Shown, page: Page, tmp_path: Path
) -> None:
    records = [r for r in shown.sweep.ledger.refresh() if r.phase == "confirm"]
    expected = {(r.strategy, str(r.seed), round(r.metrics["test_accuracy"], 6)) for r in records}
    assert len(expected) == 6
    page.goto(shown.ui.link)
    answer = headline(verdict.summary(shown.sweep.state()))
    expect(page.get_by_text(answer)).to_be_in_viewport()
    cells = [
        page.locator(f"[role=gridcell][col-id='{column}']")
        for column in ("params.`strategy`", "params.`seed`", "metrics.`test_accuracy`")
    ]
    for column in cells:
        expect(column).to_have_count(len(records))
        expect(column.first).to_be_in_viewport()
    strategies, seeds, scores = (column.all_inner_texts() for column in cells)
    rows = [(s, n, round(float(x), 6)) for s, n, x in zip(strategies, seeds, scores, strict=True)]
    assert set(rows) == expected
    assert [row[2] for row in rows] == sorted((row[2] for row in rows), reverse=True)
    page.screenshot(path=tmp_path / "confirm.png")


def test_a_store_without_the_saved_view_shows_the_same_runs(shown: Shown, page: Page) -> None:
    experiment = shown.sweep.ledger.experiment
    page.goto(links.confirm_runs(shown.ui.base, experiment, {}, "accuracy", installed()))
    # A kept student's model, in a column of its own, is a link of the same name.
    names = page.locator("[col-id*='Run Name']")
    runs = names.get_by_role("link", name=re.compile(" seed "))
    expect(runs).to_have_count(6)
    by_name = {
        f"{r.strategy} {r.params['init'].split()[0]} seed {r.seed}": r.metrics["test_accuracy"]
        for r in shown.sweep.ledger.refresh()
    }
    scores = [by_name[name] for name in runs.all_inner_texts()]
    assert scores == sorted(scores, reverse=True)


def test_ctrl_c_ends_the_server(shown: Shown) -> None:
    shown.ui.process.send_signal(signal.SIGINT)
    assert shown.ui.process.wait(60) == 0
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{shown.ui.base}/health", timeout=5)
