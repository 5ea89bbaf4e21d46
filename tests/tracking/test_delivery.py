"""A server that goes away: the end of a launch waits for it, and a person reads one line."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.errors import UserError
from raykd.sweep.sweep import Sweep
from raykd.tracking import delivery, ledger, outbox_entries, snapshot, store
from raykd.tracking.launch import Launch
from raykd.tracking.outbox_entries import Entry

from ..support.world import write_sweep
from .conftest import Server

LATER = (("test_accuracy", 81.25, 1_000, 12),)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(delivery, "AGAIN_SECONDS", 0.1)


@pytest.fixture
def file(own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    return write_sweep(tmp_path, name=tmp_path.name, tracking={"uri": own_server.uri})


Left = tuple[Sweep, str, str]
"""A sweep, its experiment, and the run that a worker which is gone has told something of."""


@pytest.fixture
def left(file: Path) -> Left:
    opened = Sweep.open(file)
    experiment = store.experiment(opened.ledger.client, opened.study.config.name)
    run = str(opened.ledger.client.create_run(experiment).info.run_id)
    root = delivery.spool(opened.study.home, opened.ledger.sweep_id)
    folder = (
        root / str(opened.ledger.client.create_run(experiment).info.run_id) / "of-a-dead-worker"
    )
    folder.mkdir(parents=True)
    outbox_entries.write(folder, 0, Entry(run, LATER), None)
    return opened, experiment, run


def test_what_raykd_0_1_0_left_is_sent_from_where_it_lies(left: Left) -> None:
    opened, experiment, run = left
    (folder,) = (opened.study.home / "spool").glob("*/*/of-a-dead-worker")
    old = delivery.spool_of_0_1_0(opened.study.home, store.safe(opened.ledger.uri), experiment)
    old.mkdir()
    folder.rename(old / folder.name)
    assert delivery.send_left(opened.ledger.destination()).sent == 1
    assert opened.ledger.client.get_run(run).data.metrics == {"test_accuracy": 81.25}
    assert not old.exists()


def test_a_launch_ends_when_what_waited_is_sent(own_server: Server, left: Left) -> None:
    opened, experiment, run = left
    destination = opened.ledger.destination()
    own_server.signal(signal.SIGKILL)
    back = threading.Timer(1.0, own_server.start)
    back.start()
    delivery.wait_until_sent(destination)
    back.join()
    assert opened.ledger.client.get_run(run).data.metrics == {"test_accuracy": 81.25}


def test_a_server_that_stays_away_leaves_a_line_and_the_results_on_disk(
    own_server: Server, left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, experiment, run = left
    destination = opened.ledger.destination()
    monkeypatch.setattr(store, "AWAY_SECONDS", 0.3)
    destination = opened.ledger.destination()
    own_server.signal(signal.SIGKILL)
    with pytest.raises(UserError) as refused:
        delivery.wait_until_sent(destination)
    own_server.start()
    (line,) = refused.value.lines
    assert "1 results wait" in line and str(opened.study.home / "spool") in line
    delivery.wait_until_sent(destination)
    assert opened.ledger.client.get_run(run).data.metrics == {"test_accuracy": 81.25}


def test_a_store_that_takes_no_artifacts_costs_other_machines_time_and_a_launch_nothing(
    own_server: Server, left: Left, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "PAGE", 0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # of a server that was killed before
    opened, experiment, _ = left
    launch = Launch.start(opened.ledger.client, experiment, {}, opened.state().command)
    told, artifacts = list[str](), own_server.folder / "artifacts"

    def leave() -> None:
        ledger.read(opened.ledger.client, experiment, opened.study.home)
        delivery.leave_read(opened.ledger.destination(), launch, told.append)

    leave()
    assert not told and snapshot.LEFT in opened.ledger.client.get_experiment(experiment).tags
    aside = artifacts.rename(tmp_path / "aside")
    artifacts.write_text("in the way")
    leave()
    assert len(told) == 1 and "another machine" in told[0]
    assert ledger.look(opened.ledger.client, experiment, tmp_path) == ()  # of all, which were read
    artifacts.unlink()
    aside.rename(artifacts)


@pytest.mark.parametrize("command", ["status", "verdict"])
def test_a_server_that_goes_in_the_midst_of_a_command_is_a_line(
    own_server: Server, file: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = store.find_experiment

    def gone(*arguments: object) -> object:
        own_server.signal(signal.SIGKILL)
        return found(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "find_experiment", gone)
    result = CliRunner().invoke(app, [command, str(file)])
    own_server.start()
    assert result.exit_code == 2
    assert "the MLflow server does not answer any more" in result.stderr
    assert isinstance(result.exception, SystemExit)
