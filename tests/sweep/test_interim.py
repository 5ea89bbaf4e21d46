"""Looks on their way: from the ledger to plan, status, verdict and the end of a launch. Nothing is
trained: the trials are written with the scores that a test needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.config.sweep import load, smoke_config
from raykd.errors import UserError
from raykd.report.gather import of_sweep as page_of
from raykd.report.render import html
from raykd.sweep.state import goes_on
from raykd.sweep.sweep import Sweep
from raykd.sweep.verdict import of_sweep
from raykd.tracking import store
from raykd.tracking.launch import Launch
from raykd.tracking.writer import Writer
from raykd.training.recorder import Result

from ..support.world import write_sweep

EXAMPLES = 1000
DESIGN: dict[str, Any] = {
    "strategies": ["none", "forward", "reverse"], "seeds": [5, 3, 4, 9, 8, 7], "looks": [2, 4, 6],
}  # fmt: skip
NEAR, FAR = (0.1, -0.1), (14.0, -14.0)


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    teacher = {"model": str(tmp_path / "model"), "fine_tune": False, "allow_weak": True}
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    write_sweep(tmp_path, teacher=teacher, tracking={"uri": uri}, confirm=DESIGN, margin=3.0)
    return Sweep.open(tmp_path / "sweep.yaml")


def result(score: float) -> Result:
    columns: dict[str, Sequence[Any]] = {
        "id": [f"{i:04}" for i in range(EXAMPLES)],
        "label": [0] * EXAMPLES,
        "predicted": [0] * EXAMPLES,
        "correct": [i < 10 * score for i in range(EXAMPLES)],
    }
    took = {"seconds": 1.0, "teacher_seconds": 0.0, "examples_per_second": 9.0}
    return Result({"test_accuracy": score, "best_select_accuracy": score, **took}, columns)


def run(sweep: Sweep, seeds: Sequence[int], gaps: Sequence[float], failed: str = "") -> None:
    """Finish every trial of these seeds; reverse is off from forward by a gap each, in turn."""
    experiment = store.experiment(sweep.ledger.client, sweep.study.config.name)
    launch = Launch.start(sweep.ledger.client, experiment, {}, "test")
    writer = Writer(sweep.ledger.uri, experiment, launch.run_id, "cohort-1", {})
    off = dict(zip(seeds, list(gaps) * len(seeds), strict=False))
    for trial in sweep.state().plan.confirm:
        if trial.seed in seeds and writer.open(trial, {}):
            mean = {"none": 70.0, "forward": 80.0, "reverse": 80.0 + off[trial.seed]}
            if trial.strategy == failed:
                writer.fail(trial, "RuntimeError: it diverged")
            else:
                writer.finish(trial, result(mean[trial.strategy]))
    writer.flush()
    launch.end("FINISHED")
    sweep.ledger.refresh()


def test_a_sweep_goes_from_look_to_look_and_stops_for_good(sweep: Sweep) -> None:
    with pytest.raises(UserError, match=r"confirm.looks: the first interim analysis is at 2 seeds"):
        of_sweep(sweep.state())
    run(sweep, [5, 3], NEAR)
    assert goes_on(sweep.study, sweep.ledger, 1) and not goes_on(sweep.study, sweep.ledger, 2)
    first = of_sweep(sweep.state())
    assert first.look is not None and (first.look.number, first.look.stop) == (1, None)
    assert first.cells[0].hypothesis("H1").status == "undecided"
    assert (sweep.state().missing, sweep.state().stopped) == (12, None)

    run(sweep, [4], NEAR)  # between two looks, the last complete one is what counts
    assert not goes_on(sweep.study, sweep.ledger, 2) and sweep.state().missing == 9
    assert of_sweep(sweep.state()).cells == first.cells

    run(sweep, [9], NEAR)
    assert not goes_on(sweep.study, sweep.ledger, 2) and sweep.state().missing == 0
    second = of_sweep(Sweep.open(Path(sweep.study.file)).state())  # as any later launch sees it
    assert second.look is not None and second.look.number == 2
    h1 = second.cells[0].hypothesis("H1")
    assert (h1.status, h1.n) == ("supported", 4)
    assert {p.kind for p in second.cells[0].problems} == set()
    told = sweep.state().stopped
    assert told == (
        "confirm stopped at interim analysis 2 of 3 (4 of 6 seeds): H1 and H5 are decided; "
        "not run: forward 2, none 2, reverse 2"
    )
    assert "Analysis 2 of 3, at 4 of 6 seeds" in html(page_of(sweep.state(), second))


def said(*args: object) -> str:
    found = CliRunner().invoke(app, [*map(str, args)])
    assert found.exit_code == 0, found.output + repr(found.exception)
    return found.stdout if "--json" in args else found.output


def test_the_same_command_again_starts_nothing(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be decided any more ends it too, at the first look."""
    run(sweep, [5, 3], FAR)
    file = sweep.study.file
    why = "stopped at interim analysis 1 of 3 (2 of 6 seeds): what is open of H1 and H5 would be"
    again = said("sweep", file)
    assert why in again and "nothing to train" in again
    assert len(Sweep.open(Path(file)).ledger.read()) == 6
    assert why in said("status", file) and why in said("plan", file)
    plan = json.loads(said("plan", file, "--json"))["confirm"]
    assert (plan["trials"], plan["finished"], plan["missing"]) == (18, 6, 0)
    assert plan["looks"] == [2, 4, 6]
    found = json.loads(said("verdict", file, "--json"))
    assert found["look"]["stop"].startswith("what is open") and found["alpha"] == 0.05
    assert found["look"]["alpha"] == found["look"]["spent"] == pytest.approx(0.05 / 27)
    assert "Analysis 1 of 3" in said("verdict", file)


def test_a_failed_trial_is_over_and_its_pair_is_lacking(sweep: Sweep) -> None:
    run(sweep, [5], NEAR)
    run(sweep, [3], NEAR, failed="reverse")
    assert goes_on(sweep.study, sweep.ledger, 1)
    found = of_sweep(sweep.state())
    assert found.look is not None and found.look.number == 1
    assert found.cells[0].hypothesis("H1").n == 1
    assert "reverse failed under seeds 3: RuntimeError: it diverged" in {
        p.says for p in found.cells[0].problems
    }


def test_a_failed_trial_is_run_again_though_a_look_has_stopped_the_rest(sweep: Sweep) -> None:
    run(sweep, [5, 3, 4], NEAR)
    run(sweep, [9], NEAR, failed="reverse")
    told = sweep.state().stopped
    assert told is not None and "stopped at interim analysis 2 of 3" in told
    (again,) = sweep.state().plan.missing
    assert (again.strategy, again.seed) == ("reverse", 9)
    run(sweep, [9], [4.0])
    assert (
        sweep.state().missing == 6 and sweep.state().stopped is None
    )  # the same look, now with that trial


def test_where_nothing_can_be_compared_the_look_stops_nothing(sweep: Sweep) -> None:
    run(sweep, [5, 3], NEAR, failed="reverse")
    assert goes_on(sweep.study, sweep.ledger, 1) and sweep.state().stopped is None


MISTAKES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "one": (lambda c: c.update(looks=[6]), "at least two numbers of seeds in rising order"),
    "falling": (lambda c: c.update(looks=[4, 2, 6]), "in rising order"),
    "one seed": (lambda c: c.update(looks=[1, 6]), "the first at least 2"),
    "last": (lambda c: c.update(looks=[2, 4]), "the last analysis is at 4 seeds, confirm has 6"),
    "no forward": (lambda c: c.update(strategies=["none", "reverse"]), "put forward into"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_looks_that_cannot_be_are_refused_in_a_line(tmp_path: Path, name: str) -> None:
    change, line = MISTAKES[name]
    confirm = dict(DESIGN)
    change(confirm)
    with pytest.raises(UserError) as told:
        load(write_sweep(tmp_path, confirm=confirm))
    assert len(told.value.lines) == 1 and line in told.value.lines[0]


def test_a_smoke_run_has_no_looks(sweep: Sweep) -> None:
    confirm = smoke_config(sweep.study.config).confirm
    assert confirm is not None and confirm.looks is None and len(confirm.seed_list) == 1
