"""A folder for a sweep, and the metrics of a sweep to which nothing happens."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from raykd.sweep.sweep import Sweep
from raykd.sweep.teacher import ready_teacher
from raykd.tracking.ledger import Record

from ...support.finished import finish
from ...support.world import write_model, write_sweep
from . import faults
from .helpers import CPUS, RAYKD, SLOW, WHOLE, curves, once_each, ours, records, scores
from .nodes import Nodes


def once(
    factory: pytest.TempPathFactory, worker: str, name: str, make: Callable[[Path], object]
) -> Path:
    """A folder that one of pytest's workers makes, and all of them use."""
    root = factory.getbasetemp()
    folder = (root if worker == "master" else root.parent) / name
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
            folder.mkdir()
            make(folder)
            (folder / "done").touch()
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The world of `write_sweep` with its teacher trained: what every test would begin with."""

    def make(folder: Path) -> None:
        train_teacher(folder)

    return once(tmp_path_factory, worker_id, "made", make)


def train_teacher(folder: Path) -> None:
    """In this process, on one thread, as a node does that has one core for it."""
    torch.set_num_threads(1)
    with in_home(folder):
        opened = Sweep.open(write_sweep(folder))
        ready_teacher(opened.study, opened.ledger)


@contextmanager
def in_home(folder: Path) -> Iterator[None]:
    """This process works in a folder of a sweep."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("RAYKD_HOME", str(folder / "home"))
        yield


def run(command: str, sweep: Path, folder: Path) -> None:
    env = {**os.environ, "RAYKD_HOME": str(folder / "home")}
    done = subprocess.run(
        [*RAYKD, command, str(sweep)], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a home of its own and an empty store; no process of it outlives the
    test."""
    copy(made, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    yield tmp_path
    for process in ours(tmp_path):
        process.kill()


def copy(made: Path, folder: Path) -> Path:
    kept = shutil.ignore_patterns("mlflow.db*", "mlruns", "spool", "sweep.yaml", "done")
    return Path(shutil.copytree(made, folder, ignore=kept, dirs_exist_ok=True))


def alone(folder: Path) -> None:
    """Train the slow sweep in this process, without Ray, as one of its workers does."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with in_home(folder):
            finish(write_sweep(folder, training=SLOW, cluster=WHOLE), CPUS, chosen=True)
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.set_num_threads(1)
    assert len(records(folder)) == 6 and once_each(records(folder))


@pytest.fixture(scope="session")
def in_peace(
    made: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> tuple[Record, ...]:
    """Every trial when nothing happens to the sweep, in a file of SQLite: what a launch gives, with
    workers that are lost or not, is this bitwise."""

    def make(folder: Path) -> None:
        alone(copy(made, folder))

    return records(once(tmp_path_factory, worker_id, "undisturbed", make))


@pytest.fixture(scope="session")
def undisturbed(in_peace: tuple[Record, ...]) -> dict[str, dict[str, float]]:
    """Their metrics."""
    return scores(in_peace)


@pytest.fixture(scope="session")
def dry(made: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder of the same sweep without the dropout that depends on how a batch is cut, in which
    it has run."""

    def make(folder: Path) -> None:
        write_model(copy(made, folder) / "model", dropout=0.0)
        train_teacher(folder)
        alone(folder)

    return once(tmp_path_factory, worker_id, "without_dropout", make)


@pytest.fixture(scope="session")
def without_dropout(dry: Path) -> dict[str, dict[int, float]]:
    """Every trial's loss by step in one worker."""
    return curves(dry)


@pytest.fixture
def nodes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    """A head without a CPU, and a worker node; what trains there waits at the test's gate."""
    faults.install(monkeypatch, folder, faults.GATE)
    cluster = Nodes(folder)
    cluster.start(workers=1)
    yield cluster
    cluster.end()
