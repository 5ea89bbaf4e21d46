"""What is told while the store is away waits on disk, in order, and arrives once."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from raykd.tracking import outbox_entries
from raykd.tracking.outbox import REFUSED, Left, Spool, deliver_left
from raykd.tracking.outbox_entries import Entry
from raykd.tracking.writer import Writer

from ..support.specs import spec
from .conftest import Place, Server, place_in
from .helpers import RESULT, line, program, record, records

LAUNCH = "0" * 32


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is away is noticed soon, and soon noticed to be back."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("raykd.tracking.outbox.PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr("raykd.tracking.outbox.PAUSES", (0.2,))


def told(place: Place, run_id: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in place.client.get_metric_history(run_id, "loss")]


def away(*_: Any) -> None:
    raise OSError("no network")


def spooling(place: Place, root: Path) -> Writer:
    return Writer(place.uri, place.experiment, LAUNCH, "c", {}, root)


def test_trials_end_while_the_server_is_away_and_are_finished_when_it_is_back(
    own_server: Server, tmp_path: Path
) -> None:
    place, trials = place_in(own_server.uri), [spec(seed=s) for s in range(3)]
    writing = spooling(place, tmp_path)
    for trial in trials:
        writing.open(trial, {})
    own_server.signal(signal.SIGKILL)
    for trial in trials:  # whoever waited for the server here would wait for ever
        for step in (1, 2, 3):
            writing.log(trial, step, {"loss": 1 / step})
        writing.finish(trial, RESULT)
    waiting = outbox_entries.waiting(next(tmp_path.iterdir()))
    assert len(waiting) == 3  # of each trial, what was logged with how it ended
    own_server.start()
    while list(tmp_path.iterdir()):
        writing.flush()  # waits for no store that has been away for long
        time.sleep(0.05)
    for trial in trials:
        found = record(place, trial)
        assert found.status == "finished" and found.metrics == {"loss": 1 / 3, **RESULT.metrics}
        assert told(place, found.run_id) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
        kept = {a.path for a in place.client.list_artifacts(found.run_id)}
        assert kept == {"predictions.parquet", "trial.json"}


AWAY = """if True:
    import os, sys
    from pathlib import Path
    from raykd.tracking import outbox
    from raykd.tracking.writer import Writer
    from tests.support.specs import spec
    from tests.tracking.helpers import RESULT
    outbox.PATIENCE_SECONDS, outbox.PAUSES = 0.5, (0.2,)
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    uri, experiment, root = sys.argv[1:]
    writing = Writer(uri, experiment, "0" * 32, "c", {}, Path(root))
    writing.open(spec(), {})
    print("opened"); sys.stdin.readline()
    writing.log(spec(), 1, {"loss": 0.5})
    writing.finish(spec(), RESULT)
    print("told"); sys.stdin.readline()
"""


def test_what_a_killed_worker_left_is_sent_by_whoever_comes_next(
    own_server: Server, tmp_path: Path
) -> None:
    place = place_in(own_server.uri)
    worker = program(AWAY, place.uri, place.experiment, tmp_path)
    assert line(worker) == "opened"
    own_server.signal(signal.SIGKILL)
    assert worker.stdin is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()
    assert line(worker) == "told"
    own_server.start()
    own_server.signal(signal.SIGSTOP)  # so that the worker itself sends nothing any more
    assert deliver_left(place.uri, tmp_path) == Left(0, 1)  # it lives: that is its own to send
    worker.kill()
    worker.communicate()
    own_server.signal(signal.SIGCONT)
    assert deliver_left(place.uri, tmp_path) == Left(1, 0)
    assert deliver_left(place.uri, tmp_path) == Left(0, 0)
    found = record(place, spec())
    assert found.status == "finished" and told(place, found.run_id) == [(1, 0.5)]
    assert not Writer(place.uri, place.experiment, "1" * 32, "c", {}, tmp_path).open(spec(), {})


def test_a_result_left_by_one_who_lost_the_trial_does_not_end_it(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, owner = spooling(place, tmp_path / "a"), spooling(place, tmp_path / "b")
    lost.open(spec(), {})

    with monkeypatch.context() as cut:
        cut.setattr(outbox_entries, "send", away)
        lost.finish(spec(), RESULT)
    owner.open(spec(), {})
    lost.flush()
    assert record(place, spec()).status == "running"
    owner.finish(spec(), RESULT)
    assert record(place, spec()).status == "finished"


def test_sending_twice_changes_nothing(every_place: Place, tmp_path: Path) -> None:
    """The answer to a request may be lost, and the process after it."""
    writing = spooling(every_place, tmp_path)
    writing.open(spec(), {})
    sent = list[Path]()
    send = outbox_entries.send

    def twice(client: MlflowClient, place: Path) -> None:
        for _ in range(2):
            send(client, place)
        sent.append(shutil.copytree(place, tmp_path / "sent" / str(len(sent))))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox_entries, "send", twice)
        for step in (1, 2):
            writing.log(spec(), step, {"loss": float("nan") if step == 1 else 0.5, "kl": 0.5})
            writing.flush()
        writing.finish(spec(), RESULT)
    found = record(every_place, spec())
    assert [s for s, _ in told(every_place, found.run_id)] == [1, 2]
    before = (records(every_place), every_place.client.get_run(found.run_id).to_dictionary())
    send(every_place.client, sent[-1])
    assert (
        records(every_place),
        every_place.client.get_run(found.run_id).to_dictionary(),
    ) == before


def test_an_entry_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    def cut_off(folder: Path) -> None:
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outbox_entries.write(tmp_path, 0, Entry("r"), cut_off)
    assert outbox_entries.waiting(tmp_path) == []
    entry = Entry("r", (("loss", 0.5, 7, 1),), {"a": "b"})
    assert outbox_entries.read(outbox_entries.write(tmp_path, 0, entry, None)) == entry
    places = [outbox_entries.write(tmp_path, n, entry, None) for n in (10, 9, 100)]
    assert outbox_entries.waiting(tmp_path) == [
        tmp_path / "00000000",
        places[1],
        places[0],
        places[2],
    ]


def test_what_the_store_will_never_take_is_set_aside(place: Place, tmp_path: Path) -> None:
    trials, root = [spec(seed=s) for s in range(2)], tmp_path / "spool"
    writing = spooling(place, tmp_path / "unused")
    for trial in trials:
        writing.open(trial, {})
    gone, good = (record(place, t).run_id for t in trials)
    place.client.delete_run(gone)
    for name, run in (("a", gone), ("b", good)):
        (root / name).mkdir(parents=True)
        outbox_entries.write(root / name, 0, Entry(run, (("loss", 0.5, 7, 1),)), None)
    left = deliver_left(place.uri, root)
    assert (left.sent, left.waiting, len(left.refused)) == (1, 0, 1)
    assert outbox_entries.read(root / REFUSED / "a-00000000").run == gone
    assert told(place, good) == [(1, 0.5)]


def test_no_folder_is_made_for_a_writer_that_tells_nothing(place: Place, tmp_path: Path) -> None:
    Spool(place.client, tmp_path / "spool").flush()
    assert not (tmp_path / "spool").exists()


def test_the_spool_holds_no_address_and_is_its_owners_alone(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = place.uri.replace("sqlite:///", "sqlite:////") + "?password=secret"
    writing = Writer(secret, place.experiment, LAUNCH, "c", {}, tmp_path / "spool")
    writing.open(spec(), {})
    with monkeypatch.context() as cut:
        cut.setattr(outbox_entries, "send", away)
        writing.finish(spec(), RESULT)
        files = [f for f in (tmp_path / "spool").rglob("*") if f.is_file()]
        assert len(files) >= 3 and not any(b"secret" in f.read_bytes() for f in files)
        assert all(f.stat().st_mode & 0o077 == 0 for f in (tmp_path / "spool").iterdir())
    writing.flush()


def test_every_run_of_a_trial_is_in_the_ledger_once(place: Place, tmp_path: Path) -> None:
    writing = spooling(place, tmp_path)
    writing.open(spec(), {})
    writing.finish(spec(), RESULT)
    every = place.client.search_runs([place.experiment], "", ViewType.ALL)
    assert len(every) == 2  # the trial's, and the board of claims
    assert len(records(place)) == 1
