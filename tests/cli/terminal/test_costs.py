"""`raykd plan --cluster` on a real tiny study, and a launch that is not begun without a word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.sweep.sweep import Sweep
from raykd.tracking import store
from raykd.tracking.costs import Forecast
from raykd.tracking.launch import Launch, newest

from ...support.world import write_sweep


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    return tmp_path


def test_a_plan_measures_once_and_tells_all_phases(here: Path) -> None:
    sweep = write_sweep(here, cluster={"cpus_per_worker": 1, "cohort": 3})
    asked = ["plan", str(sweep), "--cluster", "--price", "2"]
    first = CliRunner().invoke(app, [*asked, "--json"])
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)["estimate"]
    assert found["measured"] and found["note"] == "" and found["unit"] == "worker"
    names = [p["name"] for p in found["phases"]]
    assert names == ["teacher", "stored states", "explore", "confirm", "start and end"]
    assert found["total"]["money"]["likely"] == pytest.approx(2 * found["total"]["hours"]["likely"])
    again = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)["estimate"]
    assert again == found
    shown = CliRunner().invoke(app, asked).stdout
    assert "measured on" in shown and "in all" in shown and "money" in shown


def test_nodes_that_are_yet_to_come_are_told_roughly(here: Path) -> None:
    grows = {"nodes": 4, "cpus": 8, "gpus": 1, "slots": 3}
    sweep = write_sweep(here, cluster={"grows": grows})
    result = CliRunner().invoke(app, ["plan", str(sweep), "--cluster", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["estimate"]
    assert found["unit"] == "GPU" and found["at_once"] == 3 and not found["measured"]
    assert "--address" in found["note"]


def test_above_the_stated_amount_nobody_to_ask_is_a_line_and_nothing_is_begun(here: Path) -> None:
    sweep = write_sweep(here, budget={"ask_above": {"hours": 1e-6}})
    result = CliRunner().invoke(app, ["sweep", str(sweep)])
    assert result.exit_code == 2 and "write --yes" in result.stderr
    assert "estimate: roughly" in result.stderr
    client = store.connect(store.resolve(None, here))
    assert store.find_experiment(client, "tiny") is None
    assert not (here / "home" / "teachers").exists()


def test_what_a_launch_took_stands_beside_what_was_told(here: Path) -> None:
    opened = Sweep.open(write_sweep(here))
    spread = {"low": 50.0, "likely": 100.0, "high": 200.0}
    hours = {"low": 0.5, "likely": 1.0, "high": 2.0}
    total = {"seconds": spread, "hours": hours, "money": None}
    experiment = store.experiment(opened.ledger.client, "tiny")
    launch = Launch.start(opened.ledger.client, experiment, {}, "test")
    foretold = Forecast({"unit": "worker", "total": total}, told=0.0)
    made, foretold = foretold.after(lambda: "teacher")
    assert made == "teacher" and foretold.teacher_seconds > 0
    foretold.start(launch)
    assert opened.ledger.forecasts()[0].actual is None
    foretold.end(launch, held=1.5, price=4.0, reason=None)
    launch.end("FINISHED")
    (found,) = opened.ledger.forecasts()
    assert found.estimate["total"] == total and found.actual is not None
    assert found.actual["hours"] == pytest.approx(1.5, abs=1e-3)
    assert found.actual["money"] == pytest.approx(6.0, abs=1e-2)
    run = newest(opened.ledger.client, experiment)
    assert run is not None and run.info.run_name == found.launch
    shown = CliRunner().invoke(app, ["status", str(here / "sweep.yaml")]).stdout
    assert "estimated 100" not in shown and "estimated 2 min (50 s to 3 min)" in shown
    assert "1.5 worker-hours (estimated 1 (0.5 to 2))" in shown
