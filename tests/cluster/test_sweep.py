"""`raykd sweep` through its real entry point: real Ray workers, a real MLflow store, real kills."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..world import write_model, write_sweep
from .helpers import (
    SLOW,
    WHOLE,
    curves,
    drivers,
    logged,
    once_each,
    ours,
    raykd,
    records,
    scores,
    start,
    wait_until,
    workers,
)


def test_explore_and_confirm_end_in_mlflow_and_a_third_launch_trains_nothing(folder: Path) -> None:
    parts: dict[str, Any] = {"explore": {"maps": 3}, "confirm": {"seeds": 2, "best": 1}}
    first = raykd("sweep", write_sweep(folder, **parts, budget={"trials": 9}))
    assert first.returncode == 0, first.stdout + first.stderr
    assert "stopped at budget.trials: 9 trials were begun; not run: " in first.stderr
    assert len(records(folder)) == 9 and once_each(records(folder))
    for noise in ("Traceback", "WARNING", "raylet", "UserWarning", "it/s"):
        assert noise not in first.stdout + first.stderr
    sweep = write_sweep(folder, **parts)
    rest = raykd("sweep", sweep)
    assert rest.returncode == 0 and "stopped" not in rest.stderr
    found = records(folder)
    assert once_each(found)
    phases = Counter(r.phase for r in found)
    assert phases == {"explore": 3, "confirm": 12}
    assert len({r.map for r in found if r.phase == "explore"}) == 3
    best = max((r for r in found if r.phase == "explore"), key=lambda r: (
        r.metrics["best_select_accuracy"], [-ord(c) for c in r.map]))  # fmt: skip
    assert {r.map for r in found if r.strategy == "best_1"} == {best.map}
    status = json.loads(raykd("status", sweep, "--json").stdout)
    assert (status["finished"], status["missing"], status["failed"]) == (15, 0, 0)
    assert {row["strategy"]: row["seeds"] for row in status["strategies"]} == dict.fromkeys(
        ["none", "forward", "reverse", "all_to_one", "random", "best_1"], 2
    )
    again = raykd("sweep", sweep)
    assert again.returncode == 0 and "nothing to train" in again.stderr
    assert records(folder) == found


def test_a_sweep_killed_at_three_moments_finishes_each_trial_once(
    folder: Path, undisturbed: dict[str, dict[str, float]]
) -> None:
    """Invariant 5: SIGKILL before the workers are up, in mid-training, and among finished
    trials; what was finished before a kill is not touched after it."""
    sweep = write_sweep(folder, training=SLOW, cluster={**WHOLE, "checkpoint_seconds": 0})
    moments: dict[str, Callable[[], Any]] = {
        "starting": lambda: drivers(folder),
        "training": logged(folder, 20),
        "between": lambda: any(r.status == "finished" for r in records(folder)),
    }
    for moment in moments.values():
        before = {r.run_id for r in records(folder) if r.status == "finished"}
        process = start("sweep", sweep)
        wait_until(moment, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert before <= {r.run_id for r in records(folder) if r.status == "finished"}
    before = {r.run_id for r in records(folder) if r.status == "finished"}
    done = raykd("sweep", sweep)
    assert done.returncode == 0, done.stdout + done.stderr
    found = records(folder)
    assert once_each(found) and len(found) == 6
    assert before and before <= {r.run_id for r in found}
    assert scores(found) == undisturbed


def test_a_killed_worker_and_a_lost_driver_change_no_metric(
    folder: Path, undisturbed: dict[str, dict[str, float]]
) -> None:
    """Invariant 6, and Tune's retry of a driver, without what the lost one left behind."""
    sweep = write_sweep(folder, training=SLOW, cluster={**WHOLE, "checkpoint_seconds": 0})
    process = start("sweep", sweep)
    wait_until(logged(folder, 12), process)
    (worker,) = workers(folder)
    worker.kill()
    wait_until(lambda: workers(folder) not in ([], [worker]), process)
    wait_until(logged(folder, 32), process)
    (driver,) = drivers(folder)
    driver.kill()
    output, _ = process.communicate()
    assert process.returncode == 0, output
    found = records(folder)
    assert once_each(found)
    assert scores(found) == undisturbed


def test_two_workers_give_the_loss_curve_of_one(
    folder: Path, without_dropout: dict[str, dict[int, float]]
) -> None:
    """Invariant 2: the same global batch, dropout off."""
    write_model(folder / "model", dropout=0.0)
    done = raykd("sweep", write_sweep(folder, training=SLOW), "--workers", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    found = curves(folder)
    assert found.keys() == without_dropout.keys()
    for trial, curve in found.items():
        assert len(curve) >= 10
        assert curve == pytest.approx(without_dropout[trial], rel=2e-3)


def test_ctrl_c_and_a_notice_to_end_keep_what_is_finished_and_say_how_to_go_on(
    folder: Path, undisturbed: dict[str, dict[str, float]]
) -> None:
    """SIGTERM is what batch systems and clouds send before they take a machine away."""
    sweep = write_sweep(folder, training=SLOW, cluster=WHOLE)
    for sent, step in ((signal.SIGINT, 12), (signal.SIGTERM, 32)):
        process = start("sweep", sweep)
        wait_until(logged(folder, step), process)
        process.send_signal(sent)
        output, _ = process.communicate()
        assert process.returncode == 130, output
        assert f"raykd sweep {sweep}" in output
        for noise in ("Traceback", "raylet", "Stack", "***"):
            assert noise not in output
        assert {r.status for r in records(folder)} <= {"finished", "interrupted"}
        assert not ours(folder)
    done = raykd("sweep", sweep)
    assert done.returncode == 0 and once_each(records(folder))
    assert scores(records(folder)) == undisturbed


def test_smoke_runs_the_whole_path_apart_from_real_results(folder: Path) -> None:
    sweep = write_sweep(folder, explore={"maps": 5})
    done = raykd("sweep", sweep, "--smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    assert records(folder) == ()
    found = records(folder, "tiny-smoke")
    assert once_each(found)
    assert {r.phase for r in found} == {"explore", "confirm"}
