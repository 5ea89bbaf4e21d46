"""What `raykd doctor` says of quotas, clocks, name spaces, and of who shares the store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from raykd.cli import doctor
from raykd.cli.doctor import Check
from raykd.runtime import process_id, processors
from raykd.tracking import store
from raykd.tracking.launch import Launch

AHEAD, RIGHT = "Mon, 30 Nov 2015 12:00:00 GMT", None


class Answer(BaseHTTPRequestHandler):
    date: str | None = RIGHT

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.date or super().date_time_string(timestamp)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{listening.server_port}")
    yield
    listening.shutdown()
    listening.server_close()


@pytest.mark.usefixtures("server")
def test_the_clock_is_compared_with_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    right = doctor._clock()
    assert right.ok and right.found.startswith(("+0 s", "-0 s", "+1 s", "+2 s"))
    monkeypatch.setattr(Answer, "date", AHEAD)
    wrong = doctor._clock()
    assert not wrong.ok and int(wrong.found.split()[0]) > 10**8 and "time server" in wrong.advice
    monkeypatch.setattr(Answer, "date", "no date")
    assert doctor._clock().ok


def test_a_store_without_a_server_has_no_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert "no server" in doctor._clock().found


def test_quotas_name_spaces_and_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "quotas", lambda *_: iter([1.5]))
    assert doctor._cpus().found.startswith("1 used: ") and "a quota of 1.5" in doctor._cpus().found
    place = process_id.place()
    assert (
        place["host"] in doctor._place().found and place["pid_namespace"] in doctor._place().found
    )
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "not" / "yet"))
    home: Check = doctor._home()
    assert home.ok and str(tmp_path) in home.found and "owned by" in home.found


def test_who_has_not_ended_a_sweep_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert doctor._launches().found == "none in the store"
    client = store.connect(store.resolve(None, tmp_path))
    own = Launch.start(client, store.experiment(client, "mine"), {}, "test")
    other = Launch.start(client, store.experiment(client, "other"), {}, "test")
    client.set_tag(other.run_id, "raykd.host", "elsewhere")
    found = doctor._launches().found
    pid = process_id.own()["pid"]
    assert f"mine: process {pid} on {process_id.place()['host']} runs" in found
    assert f"other: process {pid} on elsewhere is elsewhere, its heartbeat decides" in found
    for launch in (own, other):
        launch.end("FINISHED")
    assert doctor._launches().found == "none in the store"
