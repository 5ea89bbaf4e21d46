"""What may happen to a store and to those who write to it: nothing told is lost, each trial ends
once."""

from __future__ import annotations

import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.entities import ViewType

from ..support.specs import spec
from .conftest import Place, Server, place_in
from .helpers import RESULT, line, program, record, records, senders, writer


def steps(place: Place, run_id: str) -> list[int]:
    return [m.step for m in place.client.get_metric_history(run_id, "loss")]


def test_training_does_not_wait_for_a_server_that_stands_still(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waited for it here would wait for ever."""
    place, trial, threads = place_in(own_server.uri), spec(), senders(monkeypatch)
    writing = writer(place)
    writing.open(trial, {})
    own_server.signal(signal.SIGSTOP)
    for step in range(1, 11):
        writing.log(trial, step, {"loss": 1.0})
    own_server.signal(signal.SIGCONT)
    writing.finish(trial, RESULT)
    found = record(place, trial)
    assert found.status == "finished" and steps(place, found.run_id) == list(range(1, 11))
    assert threading.get_ident() not in threads


def test_a_server_that_is_away_for_a_while_gets_everything_in_order(own_server: Server) -> None:
    place, trial = place_in(own_server.uri), spec()
    writing = writer(place)
    writing.open(trial, {})
    writing.log(trial, 1, {"loss": 1.0})
    own_server.signal(signal.SIGKILL)
    for step in range(2, 6):
        writing.log(trial, step, {"loss": 1.0})
    own_server.start()
    writing.finish(trial, RESULT)
    found = record(place, trial)
    assert found.status == "finished" and steps(place, found.run_id) == list(range(1, 6))


def test_a_database_that_another_process_holds_is_waited_for(place: Place) -> None:
    trial = spec()
    writing = writer(place)
    writing.open(trial, {})
    with closing(sqlite3.connect(place.uri.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN EXCLUSIVE")
        for step in range(1, 4):
            writing.log(trial, step, {"loss": 1.0})
        flushed = threading.Thread(target=writing.flush)
        flushed.start()
        flushed.join(0.5)
        assert flushed.is_alive()
    flushed.join()
    assert steps(place, record(place, trial).run_id) == [1, 2, 3]


OPEN_AND_FINISH = """if True:
    import sys
    from raykd.tracking.writer import Writer
    from tests.support.specs import spec
    from tests.tracking.helpers import RESULT
    uri, experiment, launch = sys.argv[1:]
    writing = Writer(uri, experiment, launch, "c", {})
    print("ready"); sys.stdin.readline()
    trials = [spec(seed=s) for s in range(4)]
    opened = [t for t in trials if writing.open(t, {})]
    for trial in opened:
        writing.log(trial, 1, {"loss": 1.0})
    for trial in opened:
        writing.finish(trial, RESULT)
"""


def test_processes_that_open_the_same_trials_at_once_finish_each_once(place: Place) -> None:
    processes = [
        program(OPEN_AND_FINISH, place.uri, place.experiment, str(i) * 32) for i in range(3)
    ]
    assert [line(p) for p in processes] == ["ready"] * 3
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
    assert [p.returncode for p in processes] == [0, 0, 0]
    found = records(place)
    assert Counter(r.trial for r in found) == {spec(seed=s).id: 1 for s in range(4)}
    assert {r.status for r in found} == {"finished"}


TRAIN_ON = """if True:
    import sys, tempfile
    from pathlib import Path
    from raykd.training.recorder import Result
    from raykd.tracking.writer import Writer
    from tests.support.specs import spec
    from tests.tracking.helpers import RESULT
    uri, experiment, launch, student = sys.argv[1:]
    writing = Writer(uri, experiment, launch, "c", {})
    for seed in range(40):
        trial = spec(seed=seed)
        if not writing.open(trial, {}):
            continue
        print("opened")
        writing.log(trial, 50, {"loss": 0.5})
        writing.finish(trial, Result(RESULT.metrics, RESULT.predictions, Path(student)))
        print("finished")
"""


def test_a_trial_finished_at_any_moment_of_a_kill_is_complete(place: Place, tmp_path: Path) -> None:
    """Killed within a trial or between two, again and again: FINISHED means every artifact and
    metric is there, what is finished is never opened again, and every trial has one run."""
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "weights").write_text("w" * 1000)
    rng = random.Random(0)
    for attempt in range(5):
        process = program(
            TRAIN_ON, place.uri, place.experiment, str(attempt) * 32, tmp_path / "student"
        )
        for told in ["opened", "finished"] * attempt + ["opened"]:  # so far, however slow it is
            assert line(process) == told
        time.sleep(rng.uniform(0, 0.4))
        process.kill()
        process.communicate()
    found = records(place)
    statuses = Counter(r.status for r in found)
    assert statuses["finished"] >= 1 and set(statuses) <= {"finished", "running"}
    every = place.client.search_runs([place.experiment], "tags.`raykd.trial` != ''", ViewType.ALL)
    assert len(every) == len({r.data.tags["raykd.trial"] for r in every})
    for r in found:
        if r.status == "finished":
            kept = {a.path for a in place.client.list_artifacts(r.run_id)}
            assert kept == {"predictions.parquet", "trial.json", "student"}
            assert r.metrics == {"loss": 0.5, **RESULT.metrics}
            (weights,) = place.client.list_artifacts(r.run_id, "student")
            assert weights.file_size == 1000
    assert len(found) == len({r.trial for r in found})
