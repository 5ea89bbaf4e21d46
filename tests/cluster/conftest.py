"""A folder for a sweep, and the metrics of a sweep to which nothing happens."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..world import write_sweep
from .helpers import RAYKD, SLOW, WHOLE, once_each, ours, records, scores


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a home of its own; no process of it outlives the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    yield tmp_path
    for process in ours(tmp_path):
        process.kill()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """The metrics of the slow sweep when nothing happens to it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    sweep = write_sweep(folder, training=SLOW, cluster=WHOLE)
    env = {**os.environ, "RAYKD_HOME": str(folder / "home")}
    done = subprocess.run(
        [*RAYKD, "sweep", str(sweep)], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = records(folder)
    assert len(found) == 6 and once_each(found)
    return scores(found)
