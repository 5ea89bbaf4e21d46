"""Where results are kept: addresses that mean the same everywhere, and stores that do not answer
told at once, without their passwords."""

from __future__ import annotations

import ast
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from raykd.errors import UserError
from raykd.tracking import store

from .conftest import Server, free_port
from .helpers import ROOT, line, program


@pytest.fixture(autouse=True, scope="module")
def what_is_the_same_is_made_once() -> None:
    """Here each store is created as users' are."""


# Addresses


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        ("sqlite:///mlflow.db", "sqlite:////here/mlflow.db"),
        ("sqlite:///kept/runs.db", "sqlite:////here/kept/runs.db"),
        ("sqlite:////there/mlflow.db", "sqlite:////there/mlflow.db"),
        ("http://host:5000", "http://host:5000"),
        ("postgresql://host/runs", "postgresql://host/runs"),
    ],
)
def test_an_address_means_the_same_in_every_folder(stated: str, found: str) -> None:
    assert store.resolve(stated, Path("/here")) == found
    assert store.resolve(found, Path("/elsewhere")) == found


def test_the_file_goes_before_the_environment_and_that_before_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert store.resolve(None, Path("/here")) == "sqlite:////here/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    assert store.resolve(None, Path("/here")) == "sqlite:////here/other.db"
    assert store.resolve("http://host", Path("/here")) == "http://host"


def test_the_default_is_the_store_that_mlflow_itself_opens_there(
    sqlite: str, tmp_path: Path
) -> None:
    store.experiment(store.connect(sqlite), "seen by both")
    show = "import mlflow; print([e.name for e in mlflow.MlflowClient().search_experiments()])"
    env = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    shown = subprocess.run(
        [sys.executable, "-c", show], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert "seen by both" in shown.stdout


@pytest.mark.parametrize(
    "uri",
    [
        "http://u:secret@host:5000/mlflow",
        "https://secret@host",
        "postgresql+psycopg://u:se/c@secret@host:5432/runs",
        "postgresql://host/runs?user=u&password=secret",
    ],
)
def test_no_shown_address_has_credentials(uri: str) -> None:
    shown = store.safe(uri)
    assert "secret" not in shown and "host" in shown


@pytest.mark.parametrize("uri", ["sqlite:////a@b/mlflow.db", "http://host:5000/x"])
def test_an_address_without_credentials_is_shown_as_it_is(uri: str) -> None:
    assert store.safe(uri) == uri


# Stores that do not answer


@pytest.fixture(scope="module")
def strange_server() -> Iterator[dict[str, str]]:
    """Things that listen and are no MLflow server, by what they answer."""
    answers: dict[str, bytes | None] = {
        "broken": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        "not http": b"SSH-2.0-OpenSSH_9.2\r\n",
        "another site": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "locked": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        "silent": None,
    }
    listeners = {name: socket.create_server(("127.0.0.1", 0)) for name in answers}
    ended = threading.Event()

    def serve(listener: socket.socket, answer: bytes | None) -> None:
        while True:
            connection, _ = listener.accept()
            with connection, suppress(ConnectionError):  # who asked may have gone
                if ended.is_set():
                    return
                connection.recv(65536)
                if answer is None:
                    ended.wait()
                else:
                    connection.sendall(answer)

    threads = []
    for name, listener in listeners.items():
        thread = threading.Thread(target=serve, args=(listener, answers[name]), daemon=True)
        thread.start()
        threads.append(thread)
    addresses = {n: f"u:secret@127.0.0.1:{x.getsockname()[1]}" for n, x in listeners.items()}
    yield addresses
    ended.set()
    for listener, thread in zip(listeners.values(), threads, strict=True):
        with closing(listener):  # when its thread has taken the last one
            socket.create_connection(listener.getsockname()).close()
            thread.join()


def refused(uri: str) -> str:
    """The one line that a store gets which cannot be used; without the password, and before MLflow,
    which would ask it again and again for ten minutes."""
    began = time.monotonic()
    with pytest.raises(UserError) as caught:
        store.connect(uri)
    assert time.monotonic() - began < 300
    (told,) = caught.value.lines
    assert told.startswith("tracking.uri: ") and "secret" not in told and "\n" not in told
    return told


@pytest.mark.parametrize("kind", ["broken", "not http", "another site", "locked", "silent"])
def test_what_listens_there_but_is_no_mlflow_server(
    kind: str, strange_server: dict[str, str]
) -> None:
    told = refused(f"http://{strange_server[kind]}")
    assert "127.0.0.1" in told
    assert ("MLFLOW_TRACKING_PASSWORD" in told) == (kind == "locked")


@pytest.mark.parametrize(
    "uri",
    [
        "http://u:secret@127.0.0.1:{port}",
        "http://u:secret@no-such-host.invalid",
        "http://u:secret@127.0.0.1:port",
        "http://u:secret@[::1",
        "postgresql://u:secret@127.0.0.1:{port}/runs",
        "mysql+pymysql://u:se/c@secret@127.0.0.1:{port}/runs",
        "ftp://u:secret@127.0.0.1",
        "file:///tmp/mlruns",
        "mlruns",
        "sqlite://",
    ],
)
def test_no_server_or_database_there(uri: str) -> None:
    refused(uri.format(port=free_port()))


def test_a_database_without_its_driver_says_what_to_install() -> None:
    assert "pymysql" in refused("mysql+pymysql://u:secret@/runs")


def test_a_file_that_cannot_be_a_database(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database, but a text of some length" * 10)
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "notes.txt", tmp_path / "folder", Path("/proc/mlflow.db")):
        assert str(path) in refused(f"sqlite:///{path}")
    assert "no folder" in refused(f"sqlite:///{tmp_path}/absent/mlflow.db")
    assert (tmp_path / "notes.txt").read_text().startswith("no database")
    assert not (tmp_path / "absent").exists()


def test_a_store_that_somebody_writes_to_just_now_is_a_store(sqlite: str) -> None:
    with closing(sqlite3.connect(sqlite.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        store.connect(sqlite)


# Experiments


def test_the_artifacts_of_a_local_store_lie_beside_it_wherever_a_process_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a folder, 100% ours"
    folder.mkdir()
    client = store.connect(store.resolve("sqlite:///mlflow.db", folder))
    experiment = store.experiment(client, "my sweep")
    monkeypatch.chdir("/")
    run = client.create_run(experiment)
    client.log_text(run.info.run_id, "kept", "note.txt")
    (kept,) = folder.rglob("note.txt")
    assert kept.is_relative_to(folder / "mlruns") and kept.read_text() == "kept"


def test_the_artifacts_of_a_server_are_where_the_server_keeps_them(server: Server) -> None:
    client = store.connect(server.uri)
    found = client.get_experiment(store.experiment(client, "the server's own"))
    assert urlsplit(found.artifact_location).scheme == "mlflow-artifacts"


def test_an_experiment_is_made_once_and_found_again(sqlite: str) -> None:
    client = store.connect(sqlite)
    assert store.find_experiment(client, "first") is None
    made = store.experiment(client, "first")
    assert store.experiment(client, "first") == made == store.find_experiment(client, "first")
    assert store.experiment(client, "second") != made


def test_processes_that_make_the_same_store_and_experiment_at_once_agree(tmp_path: Path) -> None:
    make = """if True:
        import sys
        from raykd.tracking import store
        print("ready"); sys.stdin.readline()
        print(store.experiment(store.connect(sys.argv[1]), "both"))
    """
    processes = [program(make, f"sqlite:///{tmp_path}/mlflow.db") for _ in range(2)]
    assert [line(p) for p in processes] == ["ready"] * 2
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ids = {p.communicate()[0].strip() for p in processes}
    assert len(ids) == 1 and ids != {""}


def test_a_store_whose_making_was_cut_off_is_made_again(tmp_path: Path) -> None:
    make = """if True:
        import sys
        from raykd.tracking import store
        print("ready")
        store.connect(sys.argv[1])
    """
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    process = program(make, uri)
    assert line(process) == "ready"
    while not list(tmp_path.rglob("mlflow.db")):
        time.sleep(0.005)
    process.kill()
    process.communicate()
    store.experiment(store.connect(uri), "after all")


def test_a_deleted_experiment_is_not_taken_for_the_sweeps(sqlite: str) -> None:
    client = store.connect(sqlite)
    made = store.experiment(client, "gone")
    client.delete_experiment(made)
    with pytest.raises(UserError, match=f"restore -x {made}"):
        store.experiment(client, "gone")


# Quiet


def test_a_new_store_is_made_without_a_word_and_without_telemetry(tmp_path: Path) -> None:
    make = """if True:
        import sys
        from raykd.tracking import store
        store.experiment(store.connect(sys.argv[1]), "quiet")
        from mlflow.telemetry import get_telemetry_client
        assert get_telemetry_client() is None
    """
    env = {k: v for k, v in os.environ.items() if "MLFLOW" not in k and "PYTEST" not in k}
    done = subprocess.run(
        [sys.executable, "-c", make, f"sqlite:///{tmp_path}/mlflow.db"],
        cwd=ROOT, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_whoever_imports_mlflow_goes_through_tracking_which_silences_it_first() -> None:
    for module in (ROOT / "raykd").rglob("*.py"):
        if "tracking" in module.relative_to(ROOT / "raykd").parts:
            continue
        tree = ast.parse(module.read_text(encoding="utf-8"))
        at_import = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {getattr(node, "module", None) or node.names[0].name for node in at_import}
        assert not {n for n in names if n.split(".")[0] == "mlflow"}, module
