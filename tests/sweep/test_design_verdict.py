"""Controls, hidden weights and sampled maps on their way: plan, MLflow, status, verdict, report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.report.gather import of_sweep
from raykd.report.render import html
from raykd.sweep.sweep import Sweep

from ..support.finished import finish
from ..support.world import write_sweep

CONFIRM: dict[str, Any] = {
    "strategies": ["none", "forward", "reverse", {"targets": "mean"}, {"targets": "untrained"}],
    "seeds": 2, "control_seeds": 1, "hidden_weights": [0.5, 2], "sampled": 2, "best": 1,
}  # fmt: skip
ARMS = {"forward", "reverse", "best_1", "uniform_random_01", "uniform_random_02"}
CONTROLS = {"mean_forward", "untrained_forward"}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("RAYKD_HOME", str(folder / "home"))
        training = {"steps": 4, "batch": 16, "lr": 1e-3, "evaluations": 1, "precision": "fp32"}
        file = write_sweep(
            folder, confirm=CONFIRM, training=training, explore={"maps": 2},
            losses={"hidden": 2.0},
        )  # fmt: skip
        finish(file)
    return file


@pytest.fixture(autouse=True)
def here(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sweep.parent)
    monkeypatch.setenv("RAYKD_HOME", str(sweep.parent / "home"))


def ask(*args: object) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*map(str, args), "--json"])
    assert result.exit_code == 0, result.output + repr(result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def said(*args: object) -> str:
    result = CliRunner().invoke(app, [*map(str, args)])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def test_a_plan_names_them(sweep: Path) -> None:
    confirm = ask("plan", sweep)["confirm"]
    # none 2, strategies, best and sampled 5 x 2 weights x 2 seeds, controls 2 x 2 weights
    assert (confirm["trials"], confirm["missing"]) == (2 + 20 + 4, 0)
    assert set(confirm["controls"]) == CONTROLS
    assert (confirm["hidden_weights"], confirm["sampled"]) == ([0.5, 2.0], 2)
    text = said("plan", sweep)
    assert "weights   hidden 0.5, 2" in text and "sampled   2 maps" in text
    assert "controls  mean_forward, untrained_forward" in text


def test_status_marks_controls_and_tells_weights_apart(sweep: Path) -> None:
    rows = ask("status", sweep)["strategies"]
    assert {r["strategy"] for r in rows if r["control"]} == CONTROLS
    assert {(r["strategy"], r["weight"]) for r in rows} == {("none", None)} | {
        (name, w) for name in ARMS | CONTROLS for w in (0.5, 2.0)
    }
    assert {r["seeds"] for r in rows if r["control"]} == {1}
    assert all((r["against_forward"] is None) == (r["strategy"] in ("none", "forward"))
               for r in rows)  # fmt: skip
    text = said("status", sweep)
    assert "mean_forward (control)" in text and "weight" in text


def test_the_verdict_keeps_them_apart(sweep: Path) -> None:
    found = ask("verdict", sweep)
    cells = {c["weight"]: c for c in found["cells"]}
    assert list(cells) == ["tuned", 0.5, 2.0]
    for cell in cells.values():
        # In the tuned cell the first seed only chooses weights, and controls have no other.
        controls = set() if cell["weight"] == "tuned" else CONTROLS
        assert {a["strategy"] for a in cell["arms"]} == {"none", *ARMS, *controls}
        assert {a["strategy"] for a in cell["arms"] if a["control"]} == controls
        assert {c["strategy"] for c in cell["to_forward"]} == {"reverse", "best_1"}
        judged = cell["controls"]["comparisons"] if cell["controls"] else []
        assert {c["reference"] for c in judged} == controls
        assert {p["kind"] for p in cell["problems"]} <= {"few_seeds", "missing"}
        absent = {p["strategy"] for p in cell["problems"] if p["kind"] == "missing"}
        assert absent == CONTROLS - controls
    assert {h["weight"] for h in found["hypotheses"]} == {"tuned", 0.5, 2.0}
    assert {a["chosen"] for a in cells["tuned"]["arms"]} <= {None, 0.5, 2.0}
    # The search ran at the losses' own weight.
    assert [bool(cells[w]["curse"]) for w in ("tuned", 0.5, 2.0)] == [False, False, True]
    text = said("verdict", sweep)
    assert "each strategy at the hidden weight that earlier seeds chose" in text
    assert "hidden weight 0.5" in text


def test_the_page_has_them_all(sweep: Path) -> None:
    from raykd.sweep.verdict import of_sweep as judge

    opened = Sweep.open(sweep)
    page = of_sweep(opened.state(), judge(opened.state()))
    assert "hidden weight 0.5" in (text := html(page)) and "best weights" in text
    assert "mean_forward (control)" in text and "uniform_random_02" in text


def test_mlflow_has_them_as_params(sweep: Path) -> None:
    from raykd.sweep.sweep import Sweep

    records = [r for r in Sweep.open(sweep).ledger.read() if r.phase == "confirm"]
    assert {r.params["targets"] for r in records} == {"teacher", "mean", "untrained"}
    assert {r.strategy for r in records if r.control} == CONTROLS
    assert {r.params["loss_hidden"] for r in records} == {"0.5", "2.0"}


def test_an_exported_control_says_that_it_is_one(sweep: Path, tmp_path: Path) -> None:
    found = Sweep.open(sweep).ledger.refresh()
    for name, imitated in (("mean_forward", "mean (a control)"), ("forward", "the teacher's |")):
        trial = next(r.trial for r in found if r.strategy == name and r.seed == 0)
        said("export", trial, tmp_path / name)
        assert imitated in (tmp_path / name / "README.md").read_text()
