"""`raykd sweep` through its real entry point: real Ray workers, a real MLflow store, real kills."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raykd.tracking import store

from ..world import write_sweep
from .helpers import (
    SLOW,
    WHOLE,
    drivers,
    logged,
    once_each,
    raykd,
    records,
    scores,
    start,
    wait_until,
    workers,
)


def test_explore_and_confirm_end_in_mlflow_and_a_second_run_trains_nothing(folder: Path) -> None:
    sweep = write_sweep(folder, explore={"maps": 3}, confirm={"seeds": 2, "best": 1})
    first = raykd("sweep", sweep)
    assert first.returncode == 0, first.stdout + first.stderr
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
    for noise in ("Traceback", "WARNING", "raylet", "UserWarning", "it/s"):
        assert noise not in first.stdout + first.stderr


@pytest.mark.parametrize("moment", ["starting", "training", "between"])
def test_a_killed_sweep_goes_on_and_finishes_each_trial_once(
    folder: Path, moment: str, undisturbed: dict[str, dict[str, float]]
) -> None:
    """Invariant 5: SIGKILL before the workers are up, in mid-training, and among finished
    trials."""
    sweep = write_sweep(folder, training=SLOW, cluster={**WHOLE, "checkpoint_seconds": 0})
    process = start("sweep", sweep)
    waits: dict[str, Callable[[], Any]] = {
        "starting": lambda: drivers(folder),
        "training": logged(folder, 20),
        "between": lambda: any(r.status == "finished" for r in records(folder)),
    }
    wait_until(waits[moment], process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {r.trial for r in records(folder) if r.status == "finished"}
    done = raykd("sweep", sweep)
    assert done.returncode == 0, done.stdout + done.stderr
    found = records(folder)
    assert once_each(found) and len(found) == 6
    assert before <= {r.trial for r in found}
    assert scores(found) == undisturbed


def test_a_killed_worker_resumes_and_ends_with_the_same_metrics(
    folder: Path, undisturbed: dict[str, dict[str, float]]
) -> None:
    sweep = write_sweep(folder, training=SLOW, cluster={**WHOLE, "checkpoint_seconds": 0})
    process = start("sweep", sweep)
    wait_until(logged(folder, 24), process)
    (worker,) = workers(folder)
    worker.kill()
    output, _ = process.communicate()
    assert process.returncode == 0, output
    found = records(folder)
    assert once_each(found)
    assert scores(found) == undisturbed


def test_a_lost_driver_is_retried_without_its_leftovers(
    folder: Path, undisturbed: dict[str, dict[str, float]]
) -> None:
    sweep = write_sweep(folder, training=SLOW, cluster={**WHOLE, "checkpoint_seconds": 0})
    process = start("sweep", sweep)
    wait_until(logged(folder, 12), process)
    (driver,) = drivers(folder)
    driver.kill()
    output, _ = process.communicate()
    assert process.returncode == 0, output
    found = records(folder)
    assert once_each(found)
    assert scores(found) == undisturbed


def test_two_workers_give_the_loss_curve_of_one(folder: Path) -> None:
    """Invariant 2: the same global batch, dropout off."""
    from ..world import write_model

    write_model(folder / "model", dropout=0.0)
    curves = []
    for count in (1, 2):
        sweep = write_sweep(folder, name=f"workers-{count}", training=SLOW)
        done = raykd("sweep", sweep, "--workers", count)
        assert done.returncode == 0, done.stdout + done.stderr
        client = store.connect(store.resolve(None, folder))
        found = records(folder, f"workers-{count}")
        assert once_each(found)
        curves.append(
            {
                (r.strategy, r.seed, m.step): m.value
                for r in found
                for m in client.get_metric_history(r.run_id, "loss")
            }
        )
    assert len(curves[0]) >= 60
    assert curves[0] == pytest.approx(curves[1], rel=2e-3)


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(folder: Path) -> None:
    sweep = write_sweep(folder, training=SLOW, cluster=WHOLE)
    process = start("sweep", sweep)
    wait_until(logged(folder, 12), process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 130, output
    assert f"raykd sweep {sweep}" in output
    assert "Traceback" not in output
    assert {r.status for r in records(folder)} <= {"finished", "interrupted"}
    done = raykd("sweep", sweep)
    assert done.returncode == 0 and once_each(records(folder))


def test_smoke_runs_the_whole_path_apart_from_real_results(folder: Path) -> None:
    sweep = write_sweep(folder, explore={"maps": 5})
    done = raykd("sweep", sweep, "--smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    assert records(folder) == ()
    found = records(folder, "tiny-smoke")
    assert once_each(found)
    assert {r.phase for r in found} == {"explore", "confirm"}
