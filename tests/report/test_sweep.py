"""`raykd report` on a sweep that has run, and MLflow's own UI showing what it left."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.report.gather import of_sweep
from raykd.report.render import html
from raykd.sweep import verdict
from raykd.sweep.sweep import Sweep
from raykd.tracking import launch, store

from ..support.finished import finish, working_in
from ..support.world import write_sweep
from ..tracking.conftest import Server, free_port
from .opened import WIDE, opened

STRATEGIES = ("none", "forward", "reverse")
SECONDS = 60_000  # in milliseconds; a busy machine serves MLflow's UI slowly


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a finished sweep: 8 maps explored, 3 strategies and the best map confirmed."""
    with working_in(tmp_path_factory.mktemp("finished")) as made:
        finish(write_sweep(made, explore={"maps": 8}))
        yield made


@pytest.fixture(scope="module")
def sweep(folder: Path) -> Sweep:
    return Sweep.open(folder / "sweep.yaml")


@pytest.fixture(scope="module")
def report(folder: Path) -> Path:
    done = CliRunner().invoke(app, ["report", "sweep.yaml", "--out", "page.html"])
    assert done.exit_code == 0, done.output + repr(done.exception)
    assert "page.html" in done.stdout and "report.html" in done.stdout
    return folder / "page.html"


def test_the_page_of_a_sweep(browser: Browser, report: Path, tmp_path: Path) -> None:
    with opened(browser, report.read_text("utf-8"), tmp_path, WIDE) as found:
        ids = found.page.locator("main > section").evaluate_all("all => all.map((s) => s.id)")
        assert ids == ["verdict", "hypotheses", "strategies", "seeds", "imitation", "variance",
                       "curves", "maps", "search", "data", "cost", "missing", "reproduce",
                       "files"]  # fmt: skip
        assert "Rows of train: " in found.page.locator("#data").inner_text()
        assert [row[0] for row in found.cells("Test accuracy: mean over seeds")] == [
            "teacher", "none", "forward", "best_1", "reverse",
        ]  # fmt: skip
        assert found.cells("Finished students")[0][:3] == ["confirm", "cpu", "8"]
        assert "4 blocks of width 32, test accuracy" in found.page.locator("header").inner_text()
        assert "angles" in found.page.locator("#missing").inner_text()
        assert found.said == [] and found.asked == [found.page.url]
        found.page.screenshot(path=tmp_path / "sweep.png", full_page=True)


def test_gathered_from_the_ledger(folder: Path, sweep: Sweep) -> None:
    page = of_sweep(sweep.state(), verdict.of_sweep(sweep.state()))
    assert {(c.strategy, c.seed) for c in page.courses} == {
        (s, seed) for s in (*STRATEGIES, "best_1") for seed in (0, 1)
    }
    assert all([step for step, _ in c.scores] == [4, 8, 12] for c in page.courses)
    assert len({t.map for t in page.tried}) == len(page.tried) == 8
    best = next(d for d in page.maps if d.strategy == "best_1")
    assert str(best.maps[0]) == min(page.tried, key=lambda t: (-t.score, t.map)).map
    assert page.origin.versions["raykd"] and "name: tiny" in page.origin.file


def test_the_artifact_is_the_file(report: Path, sweep: Sweep, tmp_path: Path) -> None:
    experiment = store.find_experiment(sweep.ledger.client, "tiny")
    assert experiment is not None
    parent = launch.newest(sweep.ledger.client, experiment)
    assert parent is not None
    stored = sweep.ledger.client.download_artifacts(
        parent.info.run_id, "report.html", str(tmp_path)
    )
    assert Path(stored).read_bytes() == report.read_bytes()


@pytest.fixture(scope="module")
def server(folder: Path, report: Path) -> Iterator[Server]:
    running = Server(folder, free_port())
    running.start()
    yield running
    running.signal(signal.SIGKILL)


@pytest.fixture
def ui(browser: Browser) -> Iterator[Page]:
    # MLflow's table draws only the columns that fit.
    context = browser.new_context(viewport={"width": 2000, "height": 1000})
    expect.set_options(timeout=SECONDS)
    context.set_default_timeout(SECONDS)
    yield context.new_page()
    context.close()


def test_mlflows_ui_shows_the_launch_its_trials_and_their_strategies(
    server: Server, ui: Page, sweep: Sweep, tmp_path: Path
) -> None:
    experiment = store.find_experiment(sweep.ledger.client, "tiny")
    ui.goto(f"{server.uri}/#/experiments/{experiment}/runs")
    names = ui.locator("[col-id*='Run Name']")  # a kept student's model is a link of the same name
    trial = names.get_by_role("link", name="forward copied seed 0")
    parent = ui.get_by_role("row").filter(has_text=re.compile("launch 20"))
    expect(parent).to_be_visible()
    expect(trial).to_have_count(0)  # folded under its launch
    parent.locator("[col-id*='Run Name'] button").click()
    expect(trial).to_be_visible()
    ui.get_by_test_id("column-selection-dropdown").first.click()
    ui.get_by_placeholder(re.compile("Search columns")).fill("strategy")
    ui.locator(".du-bois-light-tree-treenode").filter(has_text=re.compile("^strategy$")).locator(
        ".du-bois-light-tree-checkbox"
    ).click()
    ui.keyboard.press("Escape")
    column = ui.locator("[role=gridcell][col-id='params.`strategy`']")
    expect(column.get_by_text("forward", exact=True).first).to_be_visible()
    assert {*STRATEGIES, "best_1"} <= {*column.all_inner_texts()}
    ui.screenshot(path=tmp_path / "runs.png")


def test_mlflows_ui_shows_the_report(
    server: Server, ui: Page, sweep: Sweep, tmp_path: Path
) -> None:
    experiment = store.find_experiment(sweep.ledger.client, "tiny")
    assert experiment is not None
    parent = launch.newest(sweep.ledger.client, experiment)
    assert parent is not None
    where = f"experiments/{experiment}/runs/{parent.info.run_id}/artifacts/report.html"
    ui.goto(f"{server.uri}/#/{where}")
    page = ui.frame_locator("iframe")
    expect(page.locator("h1")).to_have_text("tiny: does the choice of layers matter?")
    expect(page.locator("#figure-seeds-1 svg.main-svg").first).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-drawn", re.compile(r"\d+"))
    ui.screenshot(path=tmp_path / "artifact.png")


def test_a_dot_and_a_row_open_their_runs_in_mlflow(
    server: Server, browser: Browser, sweep: Sweep, tmp_path: Path
) -> None:
    state = Sweep.open(sweep.study.file, server.uri).state()
    page = of_sweep(state, verdict.of_sweep(state))
    (cell, *_) = page.verdict.cells
    arm = next(a for a in cell.arms if a.strategy == "forward")
    record = next(
        r for r in state.current
        if (r.phase, r.strategy, r.seed) == ("confirm", "forward", arm.seeds[0])
    )  # fmt: skip
    with opened(browser, html(page), tmp_path) as found:
        dot = found.page.evaluate(
            """() => {
              const place = document.getElementById("figure-seeds-1");
              const trace = place.data.findIndex((t) => t.text?.[0].startsWith("forward, seed"));
              place.scrollIntoView({ block: "center" });
              const box = place.querySelectorAll(".scatterlayer .trace")[trace]
                .querySelector(".point").getBoundingClientRect();
              return [box.x + box.width / 2, box.y + box.height / 2];
            }"""
        )
        found.page.mouse.move(*dot)
        with found.page.expect_popup() as popup:
            found.page.mouse.click(*dot)
        expect(popup.value.get_by_text("forward copied seed").first).to_be_visible(timeout=SECONDS)
        assert record.run_id in popup.value.url
        with found.page.expect_popup() as popup:
            found.page.locator("#strategies a", has_text="reverse").first.click()
        row = popup.value.get_by_role("link", name=re.compile("reverse copied seed"))
        expect(row.first).to_be_visible(timeout=SECONDS)
        expect(popup.value.get_by_role("link", name=re.compile("forward copied"))).to_have_count(0)
        assert found.said == []


# Other ways in, and mistakes


def run(*args: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["report", *map(str, args)])
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    return done.exit_code, done.output


def test_a_table_has_a_page_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        f"reviews,random,3,{name},{seed},accuracy,{80 + gain + seed / 10:.3f}"
        for name, gain in (("none", -5), ("forward", 0.02), ("reverse", 0.05))
        for seed in range(4)
    ]
    header = "task,init,shape,strategy,seed,metric,score"
    (tmp_path / "scores.csv").write_text("\n".join([header, *rows]))
    code, said = run("--from", "scores.csv", "--margin", 0.5)
    assert code == 0, said
    text = (tmp_path / "report-scores.csv.html").read_text("utf-8")
    assert "The choice of layers does not matter here" in text and "within 0.5 points of" in text


def test_figures_for_a_paper(folder: Path, tmp_path: Path) -> None:
    code, said = run("sweep.yaml", "--out", tmp_path / "p.html", "--figures", tmp_path / "figures")
    assert code == 0, said
    drawn = {f.name for f in (tmp_path / "figures").iterdir()}
    assert {"seeds-1.svg", "equivalence-1.png", "maps.svg", "history.png"} <= drawn
    assert (tmp_path / "figures" / "maps.svg").read_text("utf-8").startswith("<svg")
    assert (tmp_path / "figures" / "maps.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "a sweep file, or --from TABLE"),
        (("sweep.yaml", "--out", "."), "--out: .: write the path of a file"),
        (("sweep.yaml", "--out", "no/such/page.html"), "in a folder that is there"),
        (("sweep.yaml", "--figures", "sweep.yaml"), "--figures: sweep.yaml is a file"),
        (("nothing.yaml",), "nothing.yaml"),
        (("--from", "nothing.csv"), "nothing.csv"),
    ],
)
def test_mistakes_in_a_line(folder: Path, args: tuple[str, ...], said: str) -> None:
    code, output = run(*args)
    *progress, mistake = output.strip().splitlines()
    assert code == 2 and said in mistake
    assert all(line.startswith("reading ") for line in progress)


def test_no_browser_for_the_figures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("BROWSER_PATH", str(folder / "absent"))
    code, output = run("sweep.yaml", "--out", "page.html", "--figures", "figures")
    assert code == 2 and "no Chrome or Chromium here" in output
