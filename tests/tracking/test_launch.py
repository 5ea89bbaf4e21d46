"""A launch of a sweep file: who is alive, and what the dead leave behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest

from raykd.data.data_report import DataReport
from raykd.errors import UserError
from raykd.runtime import heartbeat, process_id
from raykd.runtime.heartbeat import Heartbeats
from raykd.tracking import costs, ledger
from raykd.tracking import launch as launches
from raykd.tracking.costs import Forecast
from raykd.tracking.launch import Launch, beating, listen, other_live_launch, settle_dead, versions

from ..support.specs import spec
from .conftest import Place
from .helpers import RESULT, finish_one, line, program, record, writer

LIVE = """if True:
    import sys
    from raykd.tracking import store
    from raykd.tracking.launch import Launch
    from raykd.tracking.writer import Writer
    from tests.support.specs import spec
    from tests.tracking.helpers import RESULT
    uri, experiment = sys.argv[1:]
    launch = Launch.start(store.connect(uri), experiment, {}, "raykd sweep x.yaml")
    writing = Writer(uri, experiment, launch.run_id, "c", {})
    for seed in (0, 1, 2):
        writing.open(spec(seed=seed), {})
    writing.finish(spec(seed=0), RESULT)
    writing.fail(spec(seed=1), "diverged")
    print(launch.run_id)
    sys.stdin.readline()
"""


def started(place: Place, **config: object) -> Launch:
    return Launch.start(place.client, place.experiment, config, "raykd sweep x.yaml")


def test_a_launch_says_what_became_of_the_rows(place: Place) -> None:
    launch = started(place)
    launch.describe(DataReport(read=60, duplicates=17, relabelled=2))
    run = place.client.get_run(launch.run_id)
    assert run.data.tags["raykd.data"].startswith("17 duplicate rows dropped; of them 2")
    stored = Path(place.client.download_artifacts(launch.run_id, "data.json"))
    found = json.loads(stored.read_text())
    assert DataReport.from_json(found) == DataReport(read=60, duplicates=17, relabelled=2)
    assert found["lines"] == run.data.tags["raykd.data"].splitlines()


def written(place: Place, **tags: object) -> str:
    """A launch that says this of itself; otherwise this very process."""
    stated = {"launch": "true", **process_id.own(), "heartbeat": time.time(), **tags}
    run = place.client.create_run(
        place.experiment, tags={f"raykd.{k}": str(v) for k, v in stated.items()}
    )
    return str(run.info.run_id)


def status(place: Place, run_id: str) -> str:
    return str(place.client.get_run(run_id).info.status)


def test_a_launch_is_a_run_with_its_sweep_and_its_versions(place: Place, tmp_path: Path) -> None:
    launch = started(place, name="first", margin=1.0)
    run = place.client.get_run(launch.run_id)
    assert run.info.status == "RUNNING"
    assert run.data.tags["raykd.command"] == "raykd sweep x.yaml"
    assert {"raykd.version.raykd", "raykd.version.mlflow", "raykd.version.python"} <= set(
        run.data.tags
    )
    stored = ledger.download(place.client, launch.run_id, "sweep.json", tmp_path / "a")
    assert stored is not None
    sweep = json.loads(stored.read_text())
    assert (sweep["name"], sweep["margin"]) == ("first", 1.0)
    launch.end("FINISHED")
    assert status(place, launch.run_id) == "FINISHED"


def test_a_launch_stores_no_credentials(place: Place, tmp_path: Path) -> None:
    launch = started(place, tracking={"uri": "http://u:secret@host", "students": "all"})
    stored = ledger.download(place.client, launch.run_id, "sweep.json", tmp_path / "a")
    assert stored is not None and "secret" not in stored.read_text()
    assert json.loads(stored.read_text())["tracking"] == {
        "uri": "http://***@host", "students": "all",
    }  # fmt: skip


def test_the_heart_of_a_launch_beats(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = started(place)

    def heart() -> float:
        return float(place.client.get_run(launch.run_id).data.tags["raykd.heartbeat"])

    first = heart()
    monkeypatch.setattr("raykd.tracking.launch.BEAT_SECONDS", 0.01)
    with beating(launch, lambda: {"nodes": 3}):
        assert listen(place.client, place.experiment) in ({}, {"nodes": 3})
        while heart() == first:
            time.sleep(0.01)
        assert listen(place.client, place.experiment) == {"nodes": 3}
    launch.end("FINISHED")
    assert listen(place.client, place.experiment) is None
    assert first < heart() <= time.time()
    assert "raykd-heart" not in {t.name for t in threading.enumerate()}


def test_launches_that_are_over_are_listed_newest_first_and_no_living_one(place: Place) -> None:
    over = [written(place) for _ in range(3)]
    for run in over:
        place.client.set_terminated(run, "FINISHED")
    place.client.delete_run(over[0])  # in MLflow's UI: what it left is there all the same
    dead, living = written(place, ticks=1), written(place)
    starts = {r: place.client.get_run(r).info.start_time for r in (*over, dead)}
    found = launches.ended(place.client, place.experiment)
    assert set(found) == {*over, dead} and living not in found
    assert [starts[run] for run in found] == sorted(starts.values(), reverse=True)


def test_a_killed_launch_is_settled_and_its_trials_can_go_on(place: Place) -> None:
    """A real process, alive first, then killed; before anyone has waited for it, and after."""
    process = program(LIVE, place.uri, place.experiment)
    dead = line(process)
    mine, failed, left = (spec(seed=s) for s in (0, 1, 2))
    assert other_live_launch(place.client, place.experiment) == (
        f"process {process.pid} on {socket.gethostname()}"
    )
    with pytest.raises(UserError, match=f"running already .process {process.pid} on"):
        started(place)
    assert settle_dead(place.client, place.experiment) == 0
    assert status(place, dead) == "RUNNING" and record(place, left).status == "running"

    process.send_signal(signal.SIGKILL)
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert other_live_launch(place.client, place.experiment) is None
    process.communicate()
    assert other_live_launch(place.client, place.experiment) is None
    kept = record(place, mine), record(place, failed)
    assert settle_dead(place.client, place.experiment) == 1
    assert status(place, dead) == "KILLED"
    assert record(place, left).status == "interrupted"
    assert (record(place, mine), record(place, failed)) == kept
    assert settle_dead(place.client, place.experiment) == 0

    now = started(place)
    finish_one(place, left, now.run_id)
    assert record(place, left).status == "finished"


def test_a_trial_that_another_launch_took_over_is_left_alone(place: Place) -> None:
    trial = spec()
    dead = written(place, pid=2**22 + 1)
    writer(place, dead).open(trial, {})
    now = started(place)
    writing = writer(place, now.run_id)
    assert writing.open(trial, {})
    assert settle_dead(place.client, place.experiment) == 0
    assert status(place, dead) == "KILLED" and record(place, trial).status == "running"
    writing.finish(trial, RESULT)
    assert record(place, trial).status == "finished"


ELSEWHERE = {
    "another host": {"host": "elsewhere"}, "another boot": {"boot": "elsewhere"},
    "another container": {"pid_namespace": "pid:[1]"}, "by raykd 0.1.0": {"boot": ""},
}  # fmt: skip


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks and beats many times a second."""
    monkeypatch.setattr(launches, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(heartbeat, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(launches, "HEARTBEATS", Heartbeats())


@pytest.mark.parametrize(
    ("tags", "alive"),
    [
        ({}, True),
        ({"heartbeat": 0.0}, True),
        ({"process_start": 1.0}, True),
        ({"ticks": 1}, False),
        ({"pid": 2**22 + 1}, False),
    ],
    ids=["itself", "slow", "clock stepped", "reused pid", "gone"],
)
def test_who_is_alive_here(place: Place, tags: dict[str, object], alive: bool) -> None:
    """Cluster 3: in this container by process, which needs neither heartbeat nor clock."""
    run_id = written(place, **tags)
    assert (other_live_launch(place.client, place.experiment) is not None) == alive
    assert other_live_launch(place.client, place.experiment, besides=run_id) is None
    settle_dead(place.client, place.experiment)
    assert status(place, run_id) == ("RUNNING" if alive else "KILLED")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("where", "clock"), zip(ELSEWHERE.values(), [0.0, -1e6, 1e6, 3.0], strict=True), ids=ELSEWHERE
)
def test_who_is_alive_elsewhere(
    place: Place, where: dict[str, object], clock: float, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Cluster 3 and 8: by a heartbeat that moves, whatever the other's clock says, and even where a
    process of this number runs here or does not."""
    run_id = written(place, **where, pid=2**22 + 1, heartbeat=time.time() + clock)
    launch = Launch(place.client, run_id)
    with beating(launch):
        assert other_live_launch(place.client, place.experiment) is not None
        assert settle_dead(place.client, place.experiment) == 0
        with pytest.raises(UserError, match="running already"):
            started(place)
    assert status(place, run_id) == "RUNNING"
    monkeypatch.setattr(launches, "LAPSE_SECONDS", 0.2)
    while other_live_launch(place.client, place.experiment) is not None:
        pass  # its last beat was seen just now
    settle_dead(place.client, place.experiment)
    assert status(place, run_id) == "KILLED"
    lines = capsys.readouterr().err.splitlines()
    assert any("waiting up to" in line and str(2**22 + 1) in line for line in lines)


@pytest.mark.usefixtures("hasty")
def test_many_launches_that_died_elsewhere_are_over(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launches, "LAPSE_SECONDS", 0.2)
    for pid in range(3):
        written(place, host="elsewhere", pid=pid)
    assert other_live_launch(place.client, place.experiment) is None
    assert launches.newest(place.client, place.experiment) is not None
    assert listen(place.client, place.experiment) is None
    end = launches.last_end(place.client, place.experiment)
    assert end is not None and end.status == "lost"


def test_a_watcher_does_not_wait_for_a_launch_elsewhere(place: Place) -> None:
    """It shows what the launch said last, until its heartbeat was seen to stand still."""
    written(place, host="elsewhere", heartbeat=0, now='{"nodes": 3}')
    assert listen(place.client, place.experiment) == {"nodes": 3}
    assert launches.last_end(place.client, place.experiment) is None


def test_a_launch_that_is_deleted_while_it_runs_is_restored(
    every_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cluster 4: by its next heartbeat, and by whatever it writes at its end."""
    monkeypatch.setattr("raykd.tracking.launch.BEAT_SECONDS", 0.01)
    client, launch = every_place.client, started(every_place)

    def stage() -> str:
        return str(client.get_run(launch.run_id).info.lifecycle_stage)

    with beating(launch, lambda: {"nodes": 3}):
        client.delete_run(launch.run_id)
        while stage() != "active":
            time.sleep(0.01)
    for write in (
        lambda: launch.summarise(every_place.experiment, "text", {"trials/finished": 1.0}),
        lambda: Forecast({}, 0.0).start(launch),
        lambda: launch.end("FINISHED"),
    ):
        client.delete_run(launch.run_id)
        write()
        assert stage() == "active"
    assert status(every_place, launch.run_id) == "FINISHED"


def test_figures_that_do_not_fit_a_tag_stop_neither_heart_nor_watcher(
    every_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cluster 10: nor does a tag that MLflow or another raykd has cut."""
    monkeypatch.setattr("raykd.tracking.launch.BEAT_SECONDS", 0.01)
    launch = started(every_place)
    figures: dict[str, object] = {"lost": ["x" * 9000]}
    with beating(launch, lambda: figures):
        first = every_place.client.get_run(launch.run_id).data.tags["raykd.heartbeat"]
        while every_place.client.get_run(launch.run_id).data.tags["raykd.heartbeat"] == first:
            time.sleep(0.01)
        assert listen(every_place.client, every_place.experiment) == {}
        figures = {"lost": ["ü" * 3]}
        while listen(every_place.client, every_place.experiment) != figures:
            time.sleep(0.01)
    every_place.client.set_tag(launch.run_id, launches.NOW, '{"lost": ["x')
    assert listen(every_place.client, every_place.experiment) == {}
    every_place.client.set_tag(launch.run_id, "raykd.estimate", '{"told": 1')
    assert costs.read(every_place.client, every_place.experiment) == ()


def test_a_launch_that_has_ended_or_of_another_sweep_is_nobody(place: Place) -> None:
    started(place).end("FINISHED")
    other = Place(place.uri, place.client, place.client.create_experiment("another sweep"))
    started(other)
    assert other_live_launch(place.client, place.experiment) is None
    assert settle_dead(place.client, place.experiment) == 0


def test_a_refused_launch_is_over(place: Place) -> None:
    running = started(place)
    with pytest.raises(UserError):
        started(place)
    launched = place.client.search_runs([place.experiment], "tags.`raykd.launch` = 'true'")
    assert {r.info.run_id: r.info.status for r in launched} == {
        running.run_id: "RUNNING",
        next(r.info.run_id for r in launched if r.info.run_id != running.run_id): "KILLED",
    }


def test_the_commit_is_that_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert "raykd.commit" not in versions()
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *command], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    assert versions()["raykd.commit"] == head.strip()
    monkeypatch.setenv("PATH", os.devnull)
    assert "raykd.commit" not in versions() and "raykd.version.torch" in versions()
