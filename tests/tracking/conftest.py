"""Real stores: an SQLite file a test, and one MLflow server for all of them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from mlflow import MlflowClient

from raykd.tracking import store

from . import forked


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Server:
    """An `mlflow server` on localhost that can be ended, frozen and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | forked.Forked | None = None
    backend: str | None = None
    """The address of its database; default: an SQLite file in its folder, and a process that is
    forked."""
    artifacts: str | None = None
    """Where it keeps artifacts; default: in its folder."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """For that place, as environment variables."""

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        log, artifacts = self.folder / "server.log", str(self.folder / "artifacts")
        if self.backend is None:
            database = f"sqlite:///{self.folder / 'mlflow.db'}"
            self.process = forked.serve(self.port, database, self.artifacts or artifacts, log)
        else:
            command = [
                sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
                "--port", str(self.port), "--workers", "1",
                "--backend-store-uri", self.backend,
                "--artifacts-destination", self.artifacts or artifacts,
            ]  # fmt: skip
            with log.open("ab") as out:
                self.process = subprocess.Popen(
                    command, env={**os.environ, **self.keys, **forked.QUIET}, stdout=out,
                    stderr=out, start_new_session=True,
                )  # fmt: skip
        while not self._healthy():
            assert self.process.poll() is None, log.read_text()
            time.sleep(0.1)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                return True
        except OSError:
            return False

    def signal(self, number: signal.Signals) -> None:
        """To the server and its worker: they are a process group of their own."""
        assert self.process is not None
        os.killpg(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait()


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that may be ended: the other tests' server is left in peace."""
    running = Server(tmp_path_factory.mktemp("own-server"), free_port())
    running.start()
    yield running
    running.signal(signal.SIGKILL)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"), free_port())
    running.start()
    yield running
    running.signal(signal.SIGKILL)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL of the tests' own."""
    from . import services

    with services.postgres(tmp_path_factory.mktemp("postgres")) as address:
        yield address


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables and nothing else: making one takes over a second."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    store.connect(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite(tmp_path: Path, empty_database: Path) -> str:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return store.resolve("sqlite:///mlflow.db", tmp_path)


@dataclass(frozen=True)
class Place:
    """An experiment of its own in a store."""

    uri: str
    client: MlflowClient
    experiment: str


def place_in(uri: str) -> Place:
    client = store.connect(uri)
    return Place(uri, client, store.experiment(client, f"sweep {uuid4().hex}"))


@pytest.fixture
def place(sqlite: str) -> Place:
    return place_in(sqlite)


@pytest.fixture(params=["sqlite", "server"])
def every_place(request: pytest.FixtureRequest) -> Place:
    found = request.getfixturevalue(request.param)
    return place_in(found if isinstance(found, str) else found.uri)
