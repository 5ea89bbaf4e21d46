"""What a sweep survives as if it had not been: kills of itself, Ctrl-C, a notice to end, a budget
that ends it. All compare with one undisturbed sweep. Kills of its parts: test_faults.py."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raykd.tracking import store

from ...support.world import write_sweep
from . import faults
from .helpers import (
    SLOW,
    WHOLE,
    drivers,
    eventually,
    logged,
    once_each,
    ours,
    raykd,
    records,
    scores,
    start,
    wait_until,
)

pytestmark = pytest.mark.long


def test_a_sweep_killed_at_three_moments_finishes_each_trial_once(
    folder: Path, undisturbed: dict[str, dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 5: SIGKILL before the workers are up, in mid-training, and among finished
    trials; what was finished before a kill is not touched after it."""
    sweep = write_sweep(folder, training=SLOW, cluster={**WHOLE, "checkpoint_seconds": 0})
    moments: list[tuple[dict[int | str, int], Callable[[], Any]]] = [
        ({"all": 0}, lambda: drivers(folder)),
        ({"all": 23}, logged(folder, 20)),
        ({1: 10}, lambda: any(r.status == "finished" for r in records(folder))),
    ]
    faults.install(monkeypatch, folder, faults.GATE)
    for most, moment in moments:
        faults.gate(folder, most)
        before = {r.run_id for r in records(folder) if r.status == "finished"}
        process = start("sweep", sweep)
        wait_until(moment, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert before <= {r.run_id for r in records(folder) if r.status == "finished"}
    before = {r.run_id for r in records(folder) if r.status == "finished"}
    faults.open_gate(folder)
    done = raykd("sweep", sweep)
    assert done.returncode == 0, done.stdout + done.stderr
    found = records(folder)
    assert once_each(found) and len(found) == 6
    assert before and before <= {r.run_id for r in found}
    assert scores(found) == undisturbed


def test_ctrl_c_and_a_notice_to_end_keep_what_is_finished_and_say_how_to_go_on(
    folder: Path, undisturbed: dict[str, dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM is what batch systems and clouds send before they take a machine away."""
    sweep = write_sweep(folder, training=SLOW, cluster=WHOLE)
    faults.install(monkeypatch, folder, faults.GATE)
    for sent, step in ((signal.SIGINT, 12), (signal.SIGTERM, 24)):
        faults.gate(folder, {"all": step + 1})
        process = start("sweep", sweep)
        wait_until(logged(folder, step), process)
        process.send_signal(sent)
        output, _ = process.communicate()
        assert process.returncode == 130, output
        assert f"raykd sweep {sweep}" in output
        for noise in ("Traceback", "raylet", "Stack", "***"):
            assert noise not in output
        assert {r.status for r in records(folder)} <= {"finished", "interrupted"}
        eventually(lambda: not ours(folder))
    faults.open_gate(folder)
    done = raykd("sweep", sweep)
    assert done.returncode == 0 and once_each(records(folder))
    assert scores(records(folder)) == undisturbed


def test_a_budget_ends_a_sweep_in_order_and_the_next_launch_goes_on_from_there(
    folder: Path,
    undisturbed: dict[str, dict[str, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults.install(monkeypatch, folder, faults.UNTIL_STOPPED, launcher=faults.CLOCK)
    cluster: dict[str, Any] = {**WHOLE, "cohort": 3}
    sweep = write_sweep(folder, training=SLOW, cluster=cluster, budget={"hours": 0.5})
    done = raykd("sweep", sweep)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stopped at budget.hours: 0.5" in done.stderr and "not run: " in done.stderr
    found = records(folder)
    assert {r.status for r in found} <= {"finished", "interrupted"}
    assert "interrupted" in {r.status for r in found}
    cut = next(r for r in found if r.status == "interrupted")
    client = store.connect(store.resolve(None, folder))
    before = {m.step for m in client.get_metric_history(cut.run_id, "loss")}
    assert before and list((folder / "home" / "checkpoints").rglob("*.pt"))
    faults.remove(folder)
    rest = raykd("sweep", write_sweep(folder, training=SLOW, cluster=cluster))
    assert rest.returncode == 0, rest.stdout + rest.stderr
    found = records(folder)
    assert once_each(found) and scores(found) == undisturbed
    told = [m.step for m in client.get_metric_history(cut.run_id, "loss")]
    assert len(told) == len(set(told))  # it went on from its checkpoint, and told nothing twice
