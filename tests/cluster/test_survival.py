"""What a sweep survives by itself: bad students, short memory, a budget that ends it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from raykd.tracking import store

from ..world import write_model, write_sweep
from . import faults
from .helpers import SLOW, WHOLE, curves, once_each, ours, raykd, records, scores


def with_fault(monkeypatch: pytest.MonkeyPatch, folder: Path, fault: str) -> None:
    here = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{faults.install(folder, fault)}:{here}")


def test_one_bad_student_is_failed_and_its_neighbours_finish(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_fault(monkeypatch, folder, faults.ONE_BAD_STUDENT)
    sweep = write_sweep(folder, cluster=WHOLE)
    done = raykd("sweep", sweep)
    assert done.returncode == 1, done.stdout + done.stderr
    found = records(folder)
    assert Counter(r.status for r in found) == {"finished": 5, "failed": 1}
    (bad,) = (r for r in found if r.status == "failed")
    assert (bad.strategy, bad.seed) == ("reverse", 0)
    assert bad.error == "RuntimeError: mat1 and mat2 shapes cannot be multiplied"
    assert "Traceback" not in done.stdout + done.stderr
    assert not ours(folder)


def test_short_memory_halves_the_micro_batch_and_records_it(
    folder: Path,
    without_dropout: dict[str, dict[int, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_fault(monkeypatch, folder, faults.OUT_OF_MEMORY)
    write_model(folder / "model", dropout=0.0)
    done = raykd("sweep", write_sweep(folder, training=SLOW))
    assert done.returncode == 0, done.stdout + done.stderr
    found = records(folder)
    assert once_each(found)
    client = store.connect(store.resolve(None, folder))
    assert {client.get_run(r.run_id).data.tags["raykd.micro_batch"] for r in found} == {"4"}
    for trial, curve in curves(folder).items():
        assert curve == pytest.approx(without_dropout[trial], rel=2e-3)


def test_a_budget_ends_a_sweep_in_order_and_the_next_launch_goes_on_from_there(
    folder: Path,
    undisturbed: dict[str, dict[str, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_fault(monkeypatch, folder, faults.SLOW)
    cluster: dict[str, Any] = {**WHOLE, "cohort": 3}
    sweep = write_sweep(folder, training=SLOW, cluster=cluster, budget={"hours": 30 / 3600})
    done = raykd("sweep", sweep)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stopped at budget.hours: 0.00833" in done.stderr and "not run: " in done.stderr
    found = records(folder)
    assert {r.status for r in found} <= {"finished", "interrupted"}
    assert "interrupted" in {r.status for r in found}
    cut = next(r for r in found if r.status == "interrupted")
    client = store.connect(store.resolve(None, folder))
    before = {m.step for m in client.get_metric_history(cut.run_id, "loss")}
    assert before and list((folder / "home" / "checkpoints").rglob("*.pt"))
    monkeypatch.delenv("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    rest = raykd("sweep", write_sweep(folder, training=SLOW, cluster=cluster))
    assert rest.returncode == 0, rest.stdout + rest.stderr
    found = records(folder)
    assert once_each(found) and scores(found) == undisturbed
    told = [m.step for m in client.get_metric_history(cut.run_id, "loss")]
    assert len(told) == len(set(told))  # it went on from its checkpoint, and told nothing twice
