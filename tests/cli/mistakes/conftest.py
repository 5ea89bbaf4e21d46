from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from raykd.tracking import store

from ...support.world import write_sweep


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world and an empty MLflow store, made once: the store's migrations take seconds."""
    folder = tmp_path_factory.mktemp("template")
    write_sweep(folder)
    store.connect(f"sqlite:///{folder / 'mlflow.db'}")
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    return write_sweep(tmp_path).parent
