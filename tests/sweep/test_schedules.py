"""Schedules as a factor on their way: plan, MLflow, status, verdict, tables, report."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.report.gather import of_sweep
from raykd.report.render import html
from raykd.sweep.sweep import Sweep
from raykd.sweep.verdict import of_sweep as judge

from ..support.finished import finish
from ..support.world import write_sweep

SCHEDULES: dict[str, list[dict[str, Any]]] = {
    "constant": [],
    "hint": [{"until": 0.5, "ce": 0, "kl": 0}, {"until": 1, "hidden": 0}],
    "rising": [{"until": 1, "kl": [0, 1], "hidden": [0, 4]}],
}
CONFIRM = {"strategies": ["none", "forward", "reverse"], "seeds": 2, "schedules": SCHEDULES}
NAMES = list(SCHEDULES)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("RAYKD_HOME", str(folder / "home"))
        training = {"steps": 4, "batch": 16, "lr": 1e-3, "evaluations": 2, "precision": "fp32"}
        file = write_sweep(folder, confirm=CONFIRM, training=training, explore={"maps": 2})
        finish(file)
    return file


@pytest.fixture(autouse=True)
def here(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sweep.parent)
    monkeypatch.setenv("RAYKD_HOME", str(sweep.parent / "home"))


def said(*args: object) -> str:
    result = CliRunner().invoke(app, [*map(str, args)])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def ask(*args: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(*args, "--json"))
    return found


def test_a_plan_names_them(sweep: Path) -> None:
    confirm = ask("plan", sweep)["confirm"]
    # none is the same under constant and hint: 2 x 2 seeds; forward, reverse and best_1: 3 x 3 x 2
    assert (confirm["trials"], confirm["missing"]) == (4 + 18, 0)
    assert len(confirm["schedules"]) == 4
    text = " ".join(said("plan", sweep).split())
    assert "schedules constant: the weights of `losses`" in text
    assert "under hint, none matches nothing" in text


def test_mlflow_has_their_stages(sweep: Path) -> None:
    params = [r.params for r in Sweep.open(sweep).state().current]
    stated = {p.get("loss_schedule") for p in params}
    assert None in stated and len(stated) == 4  # none has one of its own under `rising`
    assert "until 0.5: ce 0, kl 0, hidden 1; until 1: ce 1, kl 1, hidden 0" in stated


def test_a_trial_tells_its_losses_where_they_were_computed(sweep: Path) -> None:
    state = Sweep.open(sweep).state()
    hint = next(
        r for r in state.current if r.params.get("loss_schedule", "").startswith("until 0.5: ce 0")
    )
    text = said("logs", hint.trial)
    assert "hidden" in text and "loss_schedule" in text
    told = ask("logs", hint.trial)
    assert told["head"]["loss_schedule"].startswith("until 0.5: ce 0")


def test_the_card_of_a_student_states_its_schedule(sweep: Path, tmp_path: Path) -> None:
    state = Sweep.open(sweep).state()
    kept = [r for r in state.current if r.seed == 0 and "loss_schedule" in r.params]
    said("export", kept[0].run_id, tmp_path / "student")
    card = (tmp_path / "student" / "README.md").read_text(encoding="utf-8")
    assert f"weights by share of the training: {kept[0].params['loss_schedule']}" in card


def test_status_has_a_row_for_each(sweep: Path) -> None:
    rows = ask("status", sweep)["strategies"]
    names = {"none", "forward", "reverse", "best_1"}
    assert {(r["schedule"], r["strategy"]) for r in rows} == {
        (schedule, name) for schedule in NAMES for name in names
    }
    none = {r["schedule"]: r["mean"] for r in rows if r["strategy"] == "none"}
    assert none["constant"] == none["hint"]
    assert {r["seeds"] for r in rows} == {2}
    # Differences are to forward under the same schedule.
    means = {(r["schedule"], r["strategy"]): r["mean"] for r in rows}
    for row in rows:
        if row["strategy"] not in ("none", "forward"):
            own = means[row["schedule"], "forward"]
            assert row["against_forward"] == pytest.approx(row["mean"] - own)
    assert "hint" in said("status", sweep)


def test_strategies_are_compared_within_a_schedule(sweep: Path) -> None:
    found = ask("verdict", sweep)
    assert [(c["schedule"], c["weight"]) for c in found["cells"]] == [(n, None) for n in NAMES]
    for cell in found["cells"]:
        assert {a["strategy"] for a in cell["arms"]} == {"none", "forward", "reverse", "best_1"}
        assert all(len(a["seeds"]) == 2 for a in cell["arms"])
        assert not [p for p in cell["problems"] if p["kind"] != "few_seeds"]
        assert cell["imitation"] is not None
        assert {h["schedule"] for h in cell["hypotheses"]} == {cell["schedule"]}
    h4 = found["over_cells"]
    assert h4["cells"] == 3 and h4["cell"][-1] in NAMES
    # The search ran under the schedule of `losses`, which is constant here.
    assert [bool(c["curse"]) for c in found["cells"]] == [True, False, False]
    text = said("verdict", sweep)
    assert all(f"schedule {name}" in text for name in NAMES)


def test_a_saved_table_has_the_same_verdict(sweep: Path, tmp_path: Path) -> None:
    saved, table = tmp_path / "scores.csv", tmp_path / "table.csv"
    of_runs = ask("verdict", sweep, "--save", saved, "--table", table)
    again = ask("verdict", "--from", saved)
    assert [(c["schedule"], [a["mean"] for a in c["arms"]]) for c in again["cells"]] == [
        (c["schedule"], [a["mean"] for a in c["arms"]]) for c in of_runs["cells"]
    ]
    assert again["over_cells"]["effect"] == pytest.approx(of_runs["over_cells"]["effect"])
    rows = list(csv.DictReader(saved.open()))
    assert {(r["schedule"], r["strategy"]) for r in rows if r["phase"] == "confirm"} == {
        (n, s) for n in NAMES for s in ("none", "forward", "reverse", "best_1")
    }
    assert {r["schedule"] for r in csv.DictReader(table.open())} == set(NAMES)


def test_the_page_tells_them_apart(sweep: Path) -> None:
    state = Sweep.open(sweep).state()
    page = of_sweep(state, judge(state))
    text = html(page)
    assert all(f"schedule {name}" in text for name in NAMES)
    for cell in page.verdict.cells:
        assert all(page.runs.of(cell, arm, seed) for arm in cell.arms for seed in arm.seeds)
