"""`raykd angles` on trained students: what is measured, kept, judged and drawn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.errors import UserError
from raykd.report import gather
from raykd.report.sections import sections
from raykd.sweep import angles, verdict
from raykd.sweep.sweep import Sweep
from raykd.tracking.artifacts import read_angles, steps, store_angles

from ..support.finished import finish
from ..support.world import write_sweep

STRATEGIES = ["none", "forward", "reverse", "all_to_one", "last"]


def trained(folder: Path, **changes: Any) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("RAYKD_HOME", str(folder / "home"))
        finish(write_sweep(folder, confirm={"strategies": STRATEGIES, "seeds": 2}, **changes))
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing was measured in training; the students of seed 0 are stored."""
    return trained(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every student was measured at each evaluation."""
    return trained(tmp_path_factory.mktemp("through"), angles={"rows": 16})


def run(folder: Path, *args: object) -> tuple[int, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("RAYKD_HOME", str(folder / "home"))
        done = CliRunner().invoke(app, [str(a) for a in args])
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    return done.exit_code, done.stdout if done.exit_code == 0 else done.output


def opened(folder: Path, patch: pytest.MonkeyPatch) -> Sweep:
    patch.chdir(folder)
    patch.setenv("RAYKD_HOME", str(folder / "home"))
    return Sweep.open(folder / "sweep.yaml")


def test_stored_students_are_looked_at_once(plain: Path) -> None:
    code, said = run(plain, "verdict", "sweep.yaml", "--json")
    before = json.loads(said)
    assert before["angles"] is None

    code, said = run(plain, "angles", "sweep.yaml", "--trials", 2, "--json")
    assert code == 0, said
    assert json.loads(said)["taken"] == {"measured": 2, "known": 0, "unstored": 5, "unseen": 0}
    told = json.loads(run(plain, "angles", "sweep.yaml", "--json")[1])
    assert told["taken"] == {"measured": 3, "known": 2, "unstored": 5, "unseen": 0}
    assert {(s["strategy"], s["seed"]) for s in told["seen"]} == {(s, 0) for s in STRATEGIES}
    measured = told["seen"][0]["measured"]
    assert measured["when"] == "stored" and measured["step"] in (4, 8, 12)
    assert [len(b["pairs"]) for b in measured["blocks"]] == [6, 6]  # of 4 teacher blocks, each
    code, said = run(plain, "angles", "sweep.yaml")
    assert "0 students measured now, 5 before, 5 kept no weights" in said
    assert "the paper's own figure" in " ".join(said.split())

    after = json.loads(run(plain, "verdict", "sweep.yaml", "--json")[1])
    assert after["hypotheses"] == before["hypotheses"]
    assert after["angles"] == told["angles"] and told["angles"]["shares"][0]["seeds"] == 1
    # H6 is judged by what every training logs.
    (sixth,) = (h for h in after["hypotheses"] if h["id"] == "H6")
    assert sixth["n"] == 2 and after["cells"][0]["mechanism"]["agreements"]


def test_what_is_stored_is_what_the_last_evaluation_saw(
    through: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the best evaluation was the last, the stored student is the one that training saw."""
    sweep = opened(through, monkeypatch)
    for record in angles.confirmed(sweep.state()):
        assert steps(sweep.ledger.client, record.run_id) == (4, 8, 12)
        last = read_angles(sweep.ledger.client, record.run_id, 12)
        assert last.when == "training" and last.rows == 16
        assert {k: record.metrics[k] for k in last.metrics()} == pytest.approx(last.metrics())
    stored = [r for r in angles.confirmed(sweep.state()) if angles._has_student(sweep.state(), r)]
    kept = {r.run_id: read_angles(sweep.ledger.client, r.run_id, int(r.metrics["best_step"]))
            for r in stored}  # fmt: skip
    assert len(stored) == len(STRATEGIES)
    angles._measure(sweep.state(), stored, lambda n, of: None)
    for record in stored:
        again = read_angles(sweep.ledger.client, record.run_id, int(record.metrics["best_step"]))
        before = kept[record.run_id]
        assert again == replace(before, when="stored")
        store_angles(sweep.ledger.client, record.run_id, before)
    assert steps(sweep.ledger.client, stored[0].run_id) == (4, 8, 12)


def test_the_page_shows_them(through: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = opened(through, monkeypatch)
    page = gather.of_sweep(sweep.state(), verdict.of_sweep(sweep.state()))
    assert page.angles is not None and gather.NO_ANGLES not in page.missing
    assert [d.id for d in page.angles.drawings] == ["angles-1", "angles-course-1", "angles-gaps"]
    course = page.angles.drawings[1].figure
    assert {t.name for t in course.data} == set(STRATEGIES)
    assert all(list(t.x) == [4, 8, 12] for t in course.data)
    lines = page.angles.drawings[0].figure.data
    assert [sum(t.y) for t in lines] == pytest.approx([1.0] * 5)
    order = [s.id for s in sections(page)]
    assert order.index("angles") == order.index("data") - 1
    table = page.angles.details[0].table
    assert table is not None and len(table.rows) == 2 * len(STRATEGIES)


def test_mistakes_in_a_line(tmp_path: Path, through: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sweep(tmp_path)
    code, said = run(tmp_path, "angles", "sweep.yaml")
    assert code == 2 and "no confirmed trial is finished" in said
    sweep = opened(through, monkeypatch)
    record = angles.confirmed(sweep.state())[0]
    good = read_angles(sweep.ledger.client, record.run_id, 12)
    log(sweep.ledger.client, record.run_id, {"step": 12})
    code, said = run(through, "angles", "sweep.yaml")
    assert code == 2 and "step-12.json" in said and "holds no measurement" in said
    store_angles(sweep.ledger.client, record.run_id, good)


def log(client: MlflowClient, run_id: str, value: dict[str, Any]) -> None:
    client.log_dict(run_id, value, "angles/step-12.json")


def test_no_student_and_no_measurement(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = opened(plain, monkeypatch)
    monkeypatch.setattr(angles, "is_measured", lambda record: False)
    monkeypatch.setattr(angles, "_has_student", lambda sweep, record: False)
    with pytest.raises(UserError, match="no finished student kept its weights"):
        angles.measure(sweep.state(), None, lambda n, of: None)
