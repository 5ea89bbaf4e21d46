"""A command says what it does before it takes time, and then its stages."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.cli.terminal.activity import Countdown, activity

from ...support import once
from ...support.world import write_sweep
from .printed import screen

logger = logging.getLogger("raykd.somewhere.below")


def test_a_terminal_shows_the_stage_and_removes_it() -> None:
    with screen(80) as text:
        with activity("reading [a] file"):
            assert "reading [a] file" in text.getvalue()
        assert "\x1b[2K" in text.getvalue()  # the line is erased


def test_a_pipe_gets_a_line_for_each_stage_of_what_lasts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with activity("reading a file", lasting=True) as update:
        logger.info("tokenizing %d rows", 7)
        update("drawing")
    logger.info("after the end")
    with activity("something quick") as update:
        logger.info("nobody asked")
        update("nor for this")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["reading a file ...", "tokenizing 7 rows ...", "drawing ..."]


def test_the_logger_is_left_as_it_was() -> None:
    package = logging.getLogger("raykd")
    before = (package.level, package.propagate, list(package.handlers))
    with pytest.raises(ZeroDivisionError), activity("failing", lasting=True):
        raise ZeroDivisionError
    assert (package.level, package.propagate, package.handlers) == before


def test_a_count_says_how_much_is_left() -> None:
    stages: list[str] = []
    count = Countdown(stages.append, "measured", "students")
    count._start -= 60.0
    for done in (0, 4, 12):
        count(done, 12)
    assert stages[0] == "measured 0 of 12 students" and stages[2] == "measured 12 of 12 students"
    assert re.fullmatch(r"measured 4 of 12 students; \d+ min left", stages[1])


def test_the_layers_below_name_what_takes_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(once, "FACTS", {})
    sweep = write_sweep(tmp_path)
    first = CliRunner().invoke(app, ["plan", str(sweep)]).stderr.splitlines()
    assert first == [
        f"reading {sweep} ...", f"reading the rows of {tmp_path / 'reviews.csv'} ...",
        "computing the memory of a student's training ...", "tokenizing the rows ...",
    ]  # fmt: skip
    again = CliRunner().invoke(app, ["plan", str(sweep)]).stderr.splitlines()
    assert again == first[:1]  # the rest is stored


BEFORE_IMPORTS = """
import sys
from raykd.cli.terminal import activity
first = []
def watched(stage, lasting=False):
    first.append((stage, [m for m in ("torch", "ray", "mlflow") if m in sys.modules]))
    raise SystemExit
activity.activity = watched
from typer.testing import CliRunner
from raykd.cli.app import app
CliRunner().invoke(app, sys.argv[1:])
print(first)
"""


@pytest.mark.parametrize(
    "command",
    [
        "sweep",
        "plan",
        "teacher",
        "status",
        "verdict",
        "angles",
        "report",
        "plan --cluster",
        "power --pilot",
    ],
)
def test_the_first_line_comes_before_heavy_imports(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEFORE_IMPORTS, *command.split(), "absent.yaml"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.strip() == "[('reading absent.yaml', [])]", done.stderr


def test_results_are_not_mixed_with_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    result = CliRunner().invoke(app, ["plan", str(write_sweep(tmp_path))])
    assert isinstance(result.stderr, str) and "..." not in result.stdout
    assert io.StringIO(result.stdout).readline() == "tiny\n"
