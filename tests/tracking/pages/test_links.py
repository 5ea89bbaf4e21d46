"""Addresses of MLflow's pages, and `raykd ui` where it starts no server. A browser opens them in
tests/report/test_mlflow_ui.py."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from raykd.cli import mlflow_ui
from raykd.cli.app import app
from raykd.errors import UserError
from raykd.tracking import store
from raykd.tracking.pages import links
from raykd.tracking.pages.server import installed

from ...support.specs import spec
from ...support.world import write_sweep
from ..conftest import Place, Server, free_port
from ..helpers import writer

BASE = "http://127.0.0.1:5000"
KNOWN = f"{links.KNOWN_VERSION}2"


def query(link: str) -> dict[str, str]:
    """The parameters of the page, which stand behind the #."""
    return {k: v for k, (v,) in parse_qs(urlsplit(urlsplit(link).fragment).query).items()}


def test_a_link_filters_and_sorts_the_confirm_runs() -> None:
    link = links.confirm_runs(BASE, "7", {}, "f1", KNOWN)
    assert link.startswith(f"{BASE}/#/experiments/7/runs?workflowType=machine_learning&")
    assert query(link) == {
        "workflowType": "machine_learning", "compareRunsMode": "TABLE",
        "searchFilter": 'params.phase = "confirm"', "orderByKey": "metrics.`test_f1`",
        "orderByAsc": "false",
    }  # fmt: skip
    assert not re.search(r"[\s\"`]", link), "a terminal would cut the link there"


def test_a_saved_view_takes_the_place_of_filter_and_order() -> None:
    # MLflow ignores the view if the address has a filter or an order.
    link = links.confirm_runs(BASE, "7", {links.VIEW_TAG: "{}"}, "accuracy", KNOWN)
    assert query(link) == {"workflowType": "machine_learning", "viewStateShareKey": links.VIEW}


@pytest.mark.parametrize("version", [None, "2.22.0", "3.170.0", "3.18.0", "<html>"])
def test_another_mlflow_gets_a_plain_link(version: str | None) -> None:
    link = links.confirm_runs(BASE, "7", {links.VIEW_TAG: "{}"}, "accuracy", version)
    assert link == f"{BASE}/#/experiments/7"


def test_the_pinned_mlflow_is_the_known_one() -> None:
    pins = (Path(__file__).parents[3] / "constraints.txt").read_text()
    assert re.search(rf"^mlflow=={re.escape(links.KNOWN_VERSION)}", pins, re.MULTILINE)
    assert installed().startswith(links.KNOWN_VERSION)


@pytest.mark.parametrize(
    ("uri", "base"),
    [
        ("http://host:5000", "http://host:5000"),
        ("https://host/mlflow/", "https://host/mlflow"),
        ("https://ann:p@ss@host/mlflow", "https://host/mlflow"),
    ],
)
def test_a_link_holds_no_password(uri: str, base: str) -> None:
    assert links.base_of(uri) == base


# The command


def ui(*args: object) -> tuple[int, list[str], str]:
    done = CliRunner().invoke(app, ["ui", *map(str, args)])
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    return done.exit_code, done.stdout.splitlines(), done.stderr


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return write_sweep(tmp_path)


def test_a_server_needs_no_other_one(here: Path, server: Server, tmp_path: Path) -> None:
    client = store.connect(server.uri)
    name = f"ui {tmp_path.name}"
    write_sweep(tmp_path, name=name)
    code, lines, errors = ui(here, "--tracking-uri", server.uri)
    assert (code, lines) == (2, []) and f"no sweep {name!r} yet" in errors
    experiment = store.experiment(client, name)
    code, lines, _ = ui(here, "--tracking-uri", server.uri)
    link = f"{server.uri}/#/experiments/{experiment}/runs"
    assert (code, lines) == (0, [f"{name}: {link}?workflowType=machine_learning"])
    trial = spec()
    assert writer(Place(server.uri, client, experiment)).open(trial, {})
    code, (line,), _ = ui(here, "--tracking-uri", server.uri)
    assert query(line)["orderByKey"] == f"metrics.`test_{trial.metric}`"
    links.save_confirm_view(client, experiment, trial.metric)
    code, (line,), _ = ui(here, "--tracking-uri", server.uri)
    assert query(line)["viewStateShareKey"] == links.VIEW
    view = json.loads(client.get_experiment(experiment).tags[links.VIEW_TAG])
    assert view["searchFilter"] == links.CONFIRM
    # Without a sweep file: every sweep, the one that changed last first.
    code, lines, _ = ui("--tracking-uri", server.uri)
    assert code == 0 and lines[0] == line


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "no such store"),
        (("--smoke",), "--smoke: goes with a sweep file"),
        (("nothing.yaml",), "nothing.yaml"),
        (("--tracking-uri", "sqlite:///absent.db"), "no such store"),
    ],
)
def test_a_mistake_is_a_line_and_makes_no_store(
    here: Path, args: tuple[str, ...], said: str
) -> None:
    code, lines, errors = ui(*args)
    assert (code, lines) == (2, []) and said in errors
    assert [line.startswith("raykd: ") for line in errors.splitlines()].count(True) == 1
    assert not list(here.parent.glob("*.db"))


def test_a_store_without_sweeps_is_a_line(here: Path, sqlite: str) -> None:
    code, _, errors = ui("--tracking-uri", sqlite)
    assert code == 2 and "holds no sweep yet" in errors


def test_a_stated_port_that_is_taken_is_a_line(here: Path, sqlite: str) -> None:
    store.experiment(MlflowClient(sqlite), "tiny")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, lines, errors = ui(here, "--tracking-uri", sqlite, "--port", port)
    assert (code, lines) == (2, []) and f"--port: {port} cannot be listened on" in errors


def test_the_next_free_port_is_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        first, second = taken.getsockname()[1], free_port()
        monkeypatch.setattr(mlflow_ui, "PORTS", (first, second))
        assert mlflow_ui._port(None) == second
        assert capsys.readouterr().err == f"port {first} is in use; taking {second}\n"
        monkeypatch.setattr(mlflow_ui, "PORTS", (first,))
        with pytest.raises(UserError, match=f"ports {first} to {first} are in use"):
            mlflow_ui._port(None)
    assert mlflow_ui._port(first) == first
