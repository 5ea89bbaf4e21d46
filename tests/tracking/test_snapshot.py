"""A glance at a server tells what reading all tells, whatever happened since the last."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from raykd.config.trial import TrialSpec
from raykd.tracking import ledger, snapshot
from raykd.tracking.launch import Launch

from ..support.specs import spec
from .conftest import Place, Server, place_in
from .helpers import finish_one, record, writer

HOUR_MS = 3_600_000


def told(records: Any) -> list[dict[str, Any]]:
    """repr: no not-a-number equals another."""
    return [{**vars(r), "metrics": repr(sorted(r.metrics.items()))} for r in records]


def kept_file(place: Place, home: Path) -> Path:
    return snapshot._file(place.client, place.client.get_experiment(place.experiment), home)


def _finish_another(place: Place) -> None:
    finish_one(place, spec(seed=100))


def _begin_another(place: Place) -> None:
    assert writer(place).open(spec(seed=100), {})


def _end_the_running(place: Place) -> None:
    """As a worker does whose results waited on its disk while others ended: hours ago."""
    run_id = record(place, spec(seed=2)).run_id
    place.client.log_batch(run_id, metrics=[Metric("loss", float("nan"), 1, 1)])
    place.client.set_terminated(run_id, "FINISHED", int(time.time() * 1000) - 9 * HOUR_MS)


def _begin_the_failed_again(place: Place) -> None:
    assert writer(place).open(spec(seed=1), {})


def _finish_the_failed(place: Place) -> None:
    finish_one(place, spec(seed=1))


def _delete_a_finished(place: Place) -> None:
    place.client.delete_run(record(place, spec(seed=0)).run_id)


def _nothing(place: Place) -> None: ...


CHANGES = [_nothing, _finish_another, _begin_another, _end_the_running, _begin_the_failed_again,
           _finish_the_failed, _delete_a_finished]  # fmt: skip


@pytest.fixture
def place(server: Server) -> Place:
    """One finished trial, one that failed, one that runs."""
    place = place_in(server.uri)
    finish_one(place, spec(seed=0))
    writing = writer(place)
    for seed in (1, 2):
        assert writing.open(spec(seed=seed), {})
    writing.fail(spec(seed=1), "out of memory")
    return place


@pytest.mark.parametrize("worth", [0, 200], ids=["kept again", "not kept again"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.__name__)
def test_a_glance_tells_what_reading_all_does(
    place: Place, home: Path, change: Callable[[Place], None], worth: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(snapshot, "WORTH", worth)
    first = ledger.look(place.client, place.experiment, home)
    assert [r.status for r in first] == ["finished", "failed", "running"]
    change(place)
    for _ in range(2):
        found = ledger.look(place.client, place.experiment, home)
        kept = kept_file(place, home)
        kept.rename(kept.with_suffix(".mine"))
        assert told(found) == told(ledger.read(place.client, place.experiment, home))
        kept.with_suffix(".mine").replace(kept)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that MLflow gave out in searches."""
    given: list[str] = []
    search = MlflowClient.search_runs

    def spied(self: Any, *arguments: Any, **named: Any) -> Any:
        found = search(self, *arguments, **named)
        given.extend(run.info.run_id for run in found)
        return found

    monkeypatch.setattr(MlflowClient, "search_runs", spied)
    return given


def end_long_ago(place: Place, trial: TrialSpec) -> str:
    """As if a finished trial had ended so long before the others that no clock is that wrong."""
    run_id = record(place, trial).run_id
    place.client.set_terminated(run_id, "FINISHED", int(time.time() * 1000) - 9 * HOUR_MS)
    return run_id


def test_what_is_over_is_not_asked_for_again(place: Place, home: Path, asked: list[str]) -> None:
    """Neither what ended long ago nor what is finished since a moment."""
    finish_one(place, spec(seed=3))
    end_long_ago(place, spec(seed=3))
    first = ledger.read(place.client, place.experiment, home)
    asked.clear()
    assert told(ledger.look(place.client, place.experiment, home)) == told(first)
    over = {r.run_id for r in first if r.status == "finished"}
    assert len(over) == 2 and asked and not over.intersection(asked)


@pytest.mark.parametrize("before", [False, True], ids=["never asked", "asked before the launch"])
def test_a_machine_begins_with_what_a_launch_has_left(
    place: Place, home: Path, tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch,
    before: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(snapshot, "PAGE", 4)
    client, experiment, elsewhere = place.client, place.experiment, tmp_path / "elsewhere"
    if before:
        ledger.look(client, experiment, elsewhere)
    launch = Launch.start(client, experiment, {}, "raykd sweep x.yaml").run_id
    for seed, count in ((3, 4), (4, 5)):
        finish_one(place, spec(seed=seed))
        old = end_long_ago(place, spec(seed=seed))
        assert len(ledger.read(client, experiment, home)) == count
        snapshot.share(client, experiment, home, launch)
    finish_one(place, spec(seed=5))
    asked.clear()
    found = ledger.look(client, experiment, elsewhere)
    assert asked and old not in asked
    assert told(found) == told(ledger.read(client, experiment, home)) and len(found) == 6


def test_a_launch_whose_run_is_gone_has_left_nothing(
    place: Place, home: Path, tmp_path: Path
) -> None:
    """`mlflow gc` removes a run and leaves what names it."""
    all_read = ledger.read(place.client, place.experiment, home)
    name = snapshot._name(place.client.get_experiment(place.experiment))
    place.client.set_experiment_tag(place.experiment, snapshot.LEFT, f"{'0' * 32} {name}")
    assert told(ledger.look(place.client, place.experiment, tmp_path)) == told(all_read)


def test_what_one_answer_gives_is_not_left(place: Place, home: Path) -> None:
    client, experiment = place.client, place.experiment
    launch = Launch.start(client, experiment, {}, "raykd sweep x.yaml").run_id
    ledger.read(client, experiment, home)
    snapshot.share(client, experiment, home, launch)
    assert snapshot.LEFT not in client.get_experiment(experiment).tags


def test_what_all_are_read_for_corrects_a_glance(place: Place, home: Path) -> None:
    """A run that is gone for good is none that a server tells of as deleted."""
    ledger.read(place.client, place.experiment, home)
    file = kept_file(place, home)
    rows = json.loads(file.read_text())
    gone = ["f" * 32, *rows[0][1:]]
    file.write_text(json.dumps([*rows, gone]))
    assert len(ledger.look(place.client, place.experiment, home)) == 4
    ledger.read(place.client, place.experiment, home)
    assert len(ledger.look(place.client, place.experiment, home)) == 3


def test_another_store_at_the_address_is_asked_anew(own_server: Server, home: Path) -> None:
    first = place_in(own_server.uri)
    finish_one(first, spec())
    assert len(ledger.look(first.client, first.experiment, home)) == 1
    own_server.signal(signal.SIGKILL)
    (own_server.folder / "mlflow.db").unlink()
    own_server.start()
    second = place_in(own_server.uri)
    assert second.experiment == first.experiment  # counted from one again
    assert ledger.look(second.client, second.experiment, home) == ()
