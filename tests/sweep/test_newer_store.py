"""A sweep's records that a newer raykd has written are neither read nor added to."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

import raykd
from raykd.cli.app import app
from raykd.config.versions import STORE, STORE_TAG
from raykd.sweep.sweep import Sweep

from .test_old_store import unpacked as unpacked

SWEEPS = ("plan", "status", "verdict", "sweep", "teacher", "angles", "report")


@pytest.fixture(scope="module")
def newer(unpacked: Path) -> Path:
    """The store of 0.1.0 with the tag of a version to come."""
    client = MlflowClient(f"sqlite:///{unpacked / 'mlflow.db'}")
    (experiment,) = (e for e in client.search_experiments() if e.name != "Default")
    client.set_experiment_tag(experiment.experiment_id, STORE_TAG, str(STORE + 1))
    return unpacked


@pytest.fixture
def here(newer: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(newer)
    monkeypatch.setenv("RAYKD_HOME", str(newer / "home"))
    return newer


def content(store: Path) -> list[str]:
    with closing(sqlite3.connect(store)) as database:
        return list(database.iterdump())


def trial(store: Path) -> str:
    with closing(sqlite3.connect(store)) as database:
        (found,) = database.execute("select value from tags where key = 'raykd.trial'").fetchone()
    return str(found)


def refusal(*args: str) -> str:
    result = CliRunner().invoke(app, list(args))
    assert result.exit_code == 2, result.output + repr(result.exception)
    (line,) = result.stderr.strip().splitlines()[-1:]
    assert line.startswith("raykd: ")
    return line


@pytest.mark.parametrize("command", [*SWEEPS, "power", "logs", "export"])
def test_every_command_refuses_it_and_leaves_it_as_it_was(here: Path, command: str) -> None:
    before = content(here / "mlflow.db")
    match command:
        case "power":
            line = refusal("power", "--pilot", "sweep.yaml")
        case "logs":
            line = refusal("logs", trial(here / "mlflow.db"))
        case "export":
            line = refusal("export", trial(here / "mlflow.db"), str(here / "student"))
        case _:
            line = refusal(command, "sweep.yaml")
    name = Sweep.open(here / "sweep.yaml").study.config.name
    for part in (
        f"tracking.uri: sqlite:///{here / 'mlflow.db'}: {STORE_TAG}",
        f"experiment {name!r}: {STORE + 1} is of a newer raykd",
        f"{raykd.__version__} reads up to {STORE}: upgrade it",
    ):
        assert part in line
    assert content(here / "mlflow.db") == before
    assert not list(here.glob("home/teachers/*"))  # nothing was trained in vain


def test_from_python_it_is_the_same(here: Path) -> None:
    sweep = raykd.Sweep.open(here / "sweep.yaml")
    for read in (sweep.plan, sweep.status, sweep.verdict, sweep.run):
        with pytest.raises(raykd.UserError, match=re.escape(f"{STORE + 1} is of a newer raykd")):
            read()


def test_other_experiments_of_the_store_are_read(here: Path) -> None:
    shutil.copy(here / "sweep.yaml", here / "other.yaml")
    text = (here / "other.yaml").read_text(encoding="utf-8")
    (here / "other.yaml").write_text(re.sub(r"(?m)^name: .*", "name: other", text), "utf-8")
    result = CliRunner().invoke(app, ["status", "other.yaml"])
    assert result.exit_code == 0, result.output
