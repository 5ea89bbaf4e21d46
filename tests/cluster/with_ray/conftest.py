"""A folder for a sweep, and the metrics of a sweep to which nothing happens."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from raykd.tracking.ledger import Record

from ...support.world import write_model, write_sweep
from .helpers import RAYKD, SLOW, WHOLE, curves, once_each, ours, records, scores


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
        run("teacher", write_sweep(folder), folder)

    return once(tmp_path_factory, worker_id, "made", make)


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


def alone(folder: Path) -> Path:
    """A folder in which the slow sweep has run, and nothing has happened to it."""
    run("sweep", write_sweep(folder, training=SLOW, cluster=WHOLE), folder)
    assert len(records(folder)) == 6 and once_each(records(folder))
    return folder


@pytest.fixture(scope="session")
def in_peace(
    made: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> tuple[Record, ...]:
    """Every trial when nothing happens to the sweep, in a file of SQLite."""

    def make(folder: Path) -> None:
        alone(copy(made, folder))

    return records(once(tmp_path_factory, worker_id, "undisturbed", make))


@pytest.fixture(scope="session")
def undisturbed(in_peace: tuple[Record, ...]) -> dict[str, dict[str, float]]:
    """Their metrics."""
    return scores(in_peace)


@pytest.fixture(scope="session")
def without_dropout(
    made: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> dict[str, dict[int, float]]:
    """Every trial's loss by step in one worker, without the dropout that depends on how a batch is
    cut."""

    def make(folder: Path) -> None:
        write_model(copy(made, folder) / "model", dropout=0.0)
        alone(folder)

    return curves(once(tmp_path_factory, worker_id, "without_dropout", make))
