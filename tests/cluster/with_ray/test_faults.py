"""A fault of each kind over one sweep, and kills of sweeps that run at once, of which `python -m
benchmarks.faults` is the long form; short memory and one bad student over another."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import faults
from raykd.tracking import store

from ...support.world import write_model, write_sweep
from . import faults as planted
from .aftermath import check
from .fault import ON_A_CLUSTER
from .helpers import SLOW, WHOLE, curves, eventually, ours, raykd, records, said
from .on_a_cluster import OnACluster
from .on_this_machine import OnThisMachine, Shared

pytestmark = pytest.mark.long

SEED = 131  # the head goes first, as a checkpoint is written, so that no later cluster is young
SEED_OF_KILLS = 1  # all in training, with and without what else the sweep has started


@pytest.fixture
def scratch() -> Iterator[Path]:
    """For temporary files; its path is short, as Ray's sockets are there."""
    folder = Path(tempfile.mkdtemp(prefix="f-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_sweep_survives_a_fault_of_each_kind(
    folder: Path, scratch: Path, undisturbed: dict[str, dict[str, float]]
) -> None:
    """Invariants 5 and 6. What was undisturbed ran in one cohort, on a Ray of its own."""
    drawn = faults.on_a_cluster(len(ON_A_CLUSTER), SEED)
    assert Counter(f.kind for f in drawn) == dict.fromkeys(ON_A_CLUSTER, 1)
    world = OnACluster(folder, scratch, seeds=2)
    try:
        world.run(drawn)
        check(world, scratch, undisturbed)
        assert any("in halves" in row.what for row in world.rows)
    finally:
        world.end()


@pytest.mark.parametrize(("shared", "count"), [("alone", 2), ("both", 3)])
def test_sweeps_killed_while_the_loss_history_grows_end_as_if_they_had_not_been(
    shared: Shared,
    count: int,
    made: Path,
    tmp_path: Path,
    scratch: Path,
    undisturbed: dict[str, dict[str, float]],
) -> None:
    """Nothing of them is left: processes, checkpoints, temporary files, sockets."""
    drawn = faults.on_this_machine(count, SEED_OF_KILLS, 1 if shared == "alone" else 2)
    assert {f.moment for f in drawn} == {"training"}
    world = OnThisMachine(made, tmp_path, scratch, shared, seeds=2)
    try:
        world.run(drawn)
        check(world, scratch, undisturbed)
        assert all(row.grew for row in world.rows)
    finally:
        world.end()


def test_short_memory_and_one_bad_student_leave_the_others_as_they_were(
    folder: Path,
    without_dropout: dict[str, dict[int, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Short memory halves the micro batch, which is recorded. Then one student fails, and its
    neighbours finish."""
    planted.install(monkeypatch, folder, planted.OUT_OF_MEMORY + planted.ONE_BAD_STUDENT)
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
