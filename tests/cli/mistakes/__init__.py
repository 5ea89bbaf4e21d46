"""Every mistake a person can make, through the command line: one clear line with file, key and
value, exit code 2, nothing started and nothing lost."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from raykd.cli.app import app

Edit = Callable[[dict[str, Any]], Any]


def refused(*args: object, wanted: tuple[str, ...], lines: int = 1) -> str:
    """The message of a command that must refuse: exit code 2, so many lines, no traceback."""
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == 2, result.output + repr(result.exception)
    told = [line for line in result.stderr.splitlines() if line.strip()]
    told = [line for line in told if not line.endswith(" ...")]  # what it was doing
    assert len(told) == lines, result.stderr
    for part in wanted:
        assert part in result.stderr, result.stderr
    assert "Traceback" not in result.output
    assert not Path("mlflow.db").exists() or not trials()
    return result.stderr


def trials() -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{Path('mlflow.db').absolute()}")
    experiments = [e.experiment_id for e in client.search_experiments()]
    return list(client.search_runs(experiments, "tags.`raykd.trial` LIKE '%'"))


def change(folder: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    path = folder / "sweep.yaml"
    data = yaml.safe_load(path.read_text())
    edit(data)
    path.write_text(yaml.safe_dump(data))
    return path


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
