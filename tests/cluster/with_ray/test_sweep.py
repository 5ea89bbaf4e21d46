"""`raykd sweep` through its real entry point: real Ray workers and a real MLflow store."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ...support.finished import finish
from ...support.plugins import forgotten, with_plugin  # noqa: F401  a fixture
from ...support.world import write_model, write_sweep
from .conftest import train_teacher
from .helpers import SLOW, WHOLE, at_a_terminal, curves, once_each, raykd, records, said


def test_explore_and_confirm_end_in_mlflow_and_a_third_launch_trains_nothing(folder: Path) -> None:
    """The margin is one that no two accuracies in percent can miss, so the first look decides, and
    ends the sweep for good."""
    parts: dict[str, Any] = {
        "explore": {"maps": 3}, "cluster": WHOLE, "margin": 10_000,
        "confirm": {"seeds": 4, "best": 1, "looks": [2, 4]},
    }  # fmt: skip
    first = raykd("sweep", write_sweep(folder, **parts, budget={"trials": 9}))
    assert first.returncode == 0, first.stdout + first.stderr
    assert "stopped at budget.trials: 9 trials were begun; not run: " in first.stderr
    assert len(records(folder)) == 9 and once_each(records(folder))
    for noise in ("Traceback", "WARNING", "raylet", "UserWarning", "it/s"):
        assert noise not in first.stdout + first.stderr
    sweep = write_sweep(folder, **parts)
    rest = raykd("sweep", sweep)
    assert rest.returncode == 0 and "stopped at budget" not in rest.stderr
    told = " ".join(rest.stdout.split())
    names = ["all_to_one", "best_1", "forward", "none", "random", "reverse"]
    not_run = ", ".join(f"{name} 2" for name in names)
    assert "stopped at interim analysis 1 of 2 (2 of 4 seeds): H1 and H5 are decided" in told
    assert f"not run: {not_run}" in told
    found = records(folder)
    assert once_each(found)
    phases = Counter(r.phase for r in found)
    assert phases == {"explore": 3, "confirm": 12}
    assert {r.seed for r in found if r.phase == "confirm"} == {0, 1}
    assert len({r.map for r in found if r.phase == "explore"}) == 3
    best = max((r for r in found if r.phase == "explore"), key=lambda r: (
        r.metrics["best_select_accuracy"], [-ord(c) for c in r.map]))  # fmt: skip
    assert {r.map for r in found if r.strategy == "best_1"} == {best.map}
    status = json.loads(said("status", sweep, "--json").stdout)
    assert (status["finished"], status["missing"], status["failed"]) == (15, 0, 0)
    assert {row["strategy"]: row["seeds"] for row in status["strategies"]} == dict.fromkeys(
        names, 2
    )
    again = said("sweep", sweep)
    assert again.exit_code == 0 and "nothing to train" in again.stderr
    assert records(folder) == found


@pytest.mark.usefixtures("forgotten")
def test_two_workers_give_the_loss_curves_of_one(folder: Path) -> None:
    """Invariant 2: the same global batch, dropout off; under a plug-in's loss of the whole batch.
    At a terminal, as a person runs it: progress is drawn there."""
    write_model(folder / "model", dropout=0.0)
    train_teacher(folder)
    parts: dict[str, Any] = {
        "training": SLOW,
        "confirm": {"strategies": ["forward", "reverse"], "seeds": 1},
        **with_plugin(folder, "half_spread"),
    }
    finish(write_sweep(folder, name="one", **parts), chosen=True)
    code, output = at_a_terminal("sweep", write_sweep(folder, name="two", **parts), "--workers", 2)
    assert code == 0 and "cohorts" in output, output
    assert once_each(records(folder, "two"))
    of_one, of_two = curves(folder, "one"), curves(folder, "two")
    assert of_one.keys() == of_two.keys() and len(of_one) == 2
    for trial, curve in of_two.items():
        assert len(curve) >= 10
        assert curve == pytest.approx(of_one[trial], rel=2e-3)
