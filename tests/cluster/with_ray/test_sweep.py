"""`raykd sweep` through its real entry point: real Ray workers and a real MLflow store."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from raykd.tracking import store

from ...support.plugins import with_plugin
from ...support.world import write_model, write_sweep
from . import faults
from .helpers import (
    SLOW,
    WHOLE,
    at_a_terminal,
    curves,
    eventually,
    once_each,
    ours,
    raykd,
    records,
    said,
)


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
    assert "confirm stopped at look 1 of 2 (2 of 4 seeds): H1 and H5 are decided" in told
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


def test_smoke_runs_the_whole_path_apart_from_real_results(folder: Path) -> None:
    """At a terminal, as a person runs it: progress is drawn there. By two workers of this machine's
    own Ray; what two workers compute is held in test_joined.py."""
    plugin = with_plugin(folder, "half_spread")  # a loss of the whole batch, of both workers
    sweep = write_sweep(folder, explore={"maps": 5}, **plugin)
    code, told = at_a_terminal("sweep", sweep, "--smoke", "--workers", 2)
    assert code == 0 and "cohorts" in told, told
    assert records(folder) == ()
    found = records(folder, "tiny-smoke")
    assert once_each(found)
    assert {r.phase for r in found} == {"explore", "confirm"}


def test_short_memory_and_one_bad_student_leave_the_others_as_they_were(
    folder: Path,
    without_dropout: dict[str, dict[int, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Short memory halves the micro batch, which is recorded. Then one student fails, and its
    neighbours finish."""
    faults.install(monkeypatch, folder, faults.OUT_OF_MEMORY + faults.ONE_BAD_STUDENT)
    write_model(folder / "model", dropout=0.0)
    two = {"strategies": ["forward", "reverse"], "seeds": 2}
    done = raykd("sweep", write_sweep(folder, training=SLOW, cluster=WHOLE, confirm=two))
    assert done.returncode == 1, done.stdout + done.stderr
    found = records(folder)
    assert Counter(r.status for r in found) == {"finished": 3, "failed": 1}
    client = store.connect(store.resolve(None, folder))
    assert {client.get_run(r.run_id).data.tags["raykd.micro_batch"] for r in found} == {"8"}
    (bad,) = (r for r in found if r.status == "failed")
    assert (bad.strategy, bad.seed) == ("reverse", 0)
    assert bad.error == "RuntimeError: mat1 and mat2 shapes cannot be multiplied"
    assert "Traceback" not in done.stdout + done.stderr
    told = said("logs", bad.trial).stdout
    first, *where = told[told.index("failed: ") :].splitlines()
    assert first == f"failed: {bad.error}" and where[0].startswith("Traceback")
    assert any("in backward" in line for line in where) and where[-1] in first
    drawn = curves(folder)
    for good in (r for r in found if r.status == "finished"):
        assert drawn[good.trial] == pytest.approx(without_dropout[good.trial], rel=2e-3)
    eventually(lambda: not ours(folder))
