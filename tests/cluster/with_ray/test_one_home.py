"""Sweeps of the same trials in one home: under other names, in other stores, in a copy of one."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from raykd.cluster.launch.resume import NOTE
from raykd.data.assets import packages
from raykd.tracking import ledger, store
from raykd.tracking.ledger import Record
from raykd.training.distill import TICKS, marks

from ...support.world import write_sweep
from . import faults
from .helpers import RAYKD, SLOW, WHOLE, once_each, ours, scores

pytestmark = pytest.mark.long

STEPS, EVALUATIONS = int(str(SLOW["steps"])), int(str(SLOW["evaluations"]))
HELD_AT = 18
"""The step of an evaluation in the midst."""
WHOLE_HISTORY = tuple(sorted(marks(STEPS, TICKS) | marks(STEPS, EVALUATIONS)))


class One:
    """A sweep file of its own name, and a store of its own."""

    def __init__(self, folder: Path, name: str, database: str) -> None:
        self.name, self.path, self.log = name, folder / database, folder / f"{database}.log"
        self.uri = f"sqlite:///{self.path}"
        file = write_sweep(
            folder, name=name, training=SLOW, tracking={"uri": self.uri},
            cluster={**WHOLE, "checkpoint_seconds": 0},
        )  # fmt: skip
        self.file = file.rename(folder / f"{database}.yaml")

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as log:
            command = [*RAYKD, "sweep", str(self.file)]
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def records(self) -> tuple[Record, ...]:
        client = store.connect(self.uri)
        experiment = store.find_experiment(client, self.name)
        return () if experiment is None else ledger.read(client, experiment, packages.home())

    def steps(self) -> set[tuple[int, ...]]:
        """At which steps losses were told, by trial."""
        client = store.connect(self.uri)
        return {
            tuple(sorted(m.step for m in client.get_metric_history(r.run_id, "loss")))
            for r in self.records()
        }


def held(folder: Path) -> list[Path]:
    """The notes of jobs whose newest checkpoint is the last before they stand still."""
    found = []
    for note in (folder / "home" / "checkpoints").glob(f"*/*/*/{NOTE}"):
        try:
            latest = json.loads(note.read_text())["latest_checkpoint_result"]
        except ValueError:  # as it is written
            continue
        if latest and latest["metrics"]["step"] == HELD_AT:
            found.append(note)
    return found


def finish(*sweeps: One) -> None:
    """All at once."""
    for sweep, process in [(s, s.start()) for s in sweeps]:
        assert process.wait() == 0, sweep.log.read_text()


def kill_in_the_midst(folder: Path, monkeypatch: pytest.MonkeyPatch, *sweeps: One) -> None:
    """All at once, with all their processes, when each has a checkpoint."""
    faults.install(monkeypatch, folder, faults.GATE)
    faults.gate(folder, {"all": HELD_AT + 1})
    processes = [sweep.start() for sweep in sweeps]
    while len(held(folder)) < len(sweeps):
        for sweep, process in zip(sweeps, processes, strict=True):
            assert process.poll() is None, sweep.log.read_text()
        time.sleep(0.1)
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    while left := ours(folder):  # Ray's own processes end when they miss it
        for each in left:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        time.sleep(0.1)
    (folder / "begun").mkdir()
    faults.install(monkeypatch, folder, faults.BEGUN)


def copied(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def test_each_ends_as_it_would_alone_and_none_goes_on_from_anothers_student(
    folder: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, dict[str, float]]
) -> None:
    first, second = One(folder, "tiny", "first.db"), One(folder, "other", "second.db")
    kill_in_the_midst(folder, monkeypatch, first, second)
    checkpoints = folder / "home" / "checkpoints"
    assert len({note.relative_to(checkpoints).parts[0] for note in held(folder)}) == 2

    new = One(folder, "tiny", "new.db")
    finish(new)
    assert faults.begun(folder) == {0: 6}  # it has no checkpoint of its own,
    assert len(held(folder)) == 2  # and has left the others'

    copy = One(folder, "tiny", "copy.db")
    copied(first.path, copy.path)
    finish(first, second, copy)
    # The second cohort of each begins, and one store's checkpoint is not its copy's too: of those
    # two, one begins the first cohort anew.
    assert faults.begun(folder) == {HELD_AT: 6, 0: 12}
    for sweep in (new, first, second, copy):
        found = sweep.records()
        assert once_each(found) and len(found) == 6 and scores(found) == undisturbed
        assert sweep.steps() == {WHOLE_HISTORY}
        assert "begins anew" not in sweep.log.read_text()
    for place in ("checkpoints", "spool", "tune"):
        assert not [p for p in (folder / "home" / place).rglob("*") if p.is_file()]


AS_BEFORE = """
DELETE FROM metrics WHERE step > 6;
DELETE FROM latest_metrics;
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT key, value, timestamp, step, is_nan, run_uuid FROM metrics AS m WHERE step =
    (SELECT MAX(step) FROM metrics AS n WHERE n.run_uuid = m.run_uuid AND n.key = m.key);
"""


def test_a_checkpoint_that_is_ahead_of_its_store_is_removed_in_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, dict[str, float]]
) -> None:
    """A person has put back a copy of the store from an earlier hour of the launch."""
    sweep = One(folder, "tiny", "first.db")
    kill_in_the_midst(folder, monkeypatch, sweep)
    with closing(sqlite3.connect(sweep.path)) as database:
        database.executescript(AS_BEFORE)
    finish(sweep)
    assert faults.begun(folder) == {0: 6}
    assert f"its checkpoint at step {HELD_AT} was removed" in sweep.log.read_text()
    found = sweep.records()
    assert once_each(found) and scores(found) == undisturbed
    assert sweep.steps() == {WHOLE_HISTORY}
