"""The first minutes: the quickstart's own file, and commands that run as they are printed."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raykd.cli import mlflow_ui, next_steps, options
from raykd.cli.app import app
from raykd.cli.terminal.console import show_commands
from raykd.cluster.launch import run_sweep as launch
from raykd.config.sweep import load
from raykd.proposal import quickstart
from raykd.sweep.state import SweepState
from raykd.sweep.sweep import Sweep
from raykd.tracking.pages import server

from ..support.finished import finish
from ..support.world import write_sweep
from .terminal.printed import screen

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished sweep")  # a space, which a shell divides words at
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("RAYKD_HOME", str(folder / "home"))
        finish(write_sweep(folder))
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RAYKD_HOME", str(folder / "home"))
    return folder


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> list[Sweep]:
    """A launch that finds everything finished, in place of Ray's; the sweeps it was called with."""
    launched: list[Sweep] = []

    def run(opened: Sweep, *_: Any) -> tuple[SweepState, None]:
        launched.append(opened)
        opened.ledger.refresh()
        return opened.state(), None

    monkeypatch.setattr(launch, "run_sweep", run)
    return launched


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stores that MLflow's server would be started on; somebody presses Ctrl-C at once."""
    stores: list[str] = []

    @contextmanager
    def serving(uri: str, *_: Any) -> Iterator[None]:
        stores.append(uri)
        yield
        raise AssertionError("it waits until it is stopped")

    def stopped(link: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "serving", serving)
    monkeypatch.setattr(mlflow_ui, "_open", stopped)
    return stores


def test_the_repository_and_the_package_have_one_quickstart_file() -> None:
    shown = ROOT / "sweeps" / quickstart.FILE
    assert shown.read_text(encoding="utf-8") == quickstart.text()
    assert load(shown).name == "quickstart"


def test_quickstart_writes_its_file_once_and_runs_it(
    tmp_path: Path, home: Path, no_ray: list[Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(home))
    first = CliRunner().invoke(app, ["quickstart"])
    assert first.exit_code == 0, first.output + repr(first.exception)
    assert "quickstart.yaml: written" in first.stderr
    written = (tmp_path / "quickstart.yaml").read_text(encoding="utf-8")
    assert written == quickstart.text()
    (tmp_path / "quickstart.yaml").write_text(written + "\nalpha: 0.1\n", encoding="utf-8")
    second = CliRunner().invoke(app, ["quickstart", "--smoke"])
    assert "quickstart.yaml: exists already, with changes" in second.stderr
    assert (tmp_path / "quickstart.yaml").read_text(encoding="utf-8").endswith("alpha: 0.1\n")
    configs = [sweep.study.config for sweep in no_ray]
    assert [c.name for c in configs] == ["quickstart", "quickstart-smoke"]
    assert [c.alpha for c in configs] == [0.05, 0.1]
    assert "raykd sweep quickstart.yaml" in second.stdout and "verdict" not in second.stdout


def test_a_folder_in_the_way_of_the_quickstart_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart.yaml").mkdir()
    result = CliRunner().invoke(app, ["quickstart"])
    assert result.exit_code == 2
    assert result.stderr == "raykd: quickstart.yaml: is a folder; run this in another folder\n"


def steps_of(output: str) -> list[list[str]]:
    """The commands after "Worth trying next", as words."""
    lines = output.partition("Worth trying next:\n")[2].splitlines()
    return [shlex.split(line.strip().split("  ")[0]) for line in lines]


@pytest.mark.parametrize("stated", [False, True], ids=["default store", "another store"])
def test_what_is_worth_trying_runs_as_printed(
    stated: bool, here: Path, no_ray: list[Sweep], served: list[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    file: Path = here / "sweep.yaml"
    arguments = ["sweep", str(file)]
    if stated:  # from another folder, whose default store is empty
        monkeypatch.chdir(tmp_path)
        arguments += ["--tracking-uri", f"sqlite:///{here / 'mlflow.db'}"]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output + repr(first.exception)
    commands = steps_of(first.stdout)
    assert [words[1] for words in commands] == ["verdict", "report", "ui", "maps", "export"]
    for program, *words in commands:
        assert program == "raykd"
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, (words, result.output, result.exception)
        if words[0] == "ui":
            assert served == [f"sqlite:///{here / 'mlflow.db'}"]
            assert re.match(r"tiny: http://127.0.0.1:\d+/#/experiments/1", result.stdout)
    assert (Path("student") / "model.safetensors").is_file()
    # What is there is not written over: the next export has a folder of its own.
    again = steps_of(CliRunner().invoke(app, arguments).stdout)
    assert CliRunner().invoke(app, again[-1][1:]).exit_code == 0


def test_a_sweep_without_a_finished_trial_has_nothing_to_judge(here: Path, tmp_path: Path) -> None:
    state = Sweep.open(write_sweep(tmp_path, name="begun")).state()
    names = [shlex.split(command)[1] for command, _ in next_steps.commands(state, Path("s.yaml"))]
    assert names == ["ui", "maps"]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_command_is_never_broken(width: int) -> None:
    commands = [("raykd verdict a/long/path/to/a/sweep.yaml", "does it matter"), ("raykd ui", "UI")]
    with screen(width) as shown:
        show_commands(commands)
    lines = [line.strip() for line in shown.getvalue().splitlines()]
    assert all(any(line.startswith(command) for line in lines) for command, _ in commands)
    assert (f"{commands[0][0]}  does it matter" in lines) == (width > 58)


STARTED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "on the path": (lambda bin_: bin_ / "raykd", "raykd"),
    "not on the path": (lambda bin_: bin_.parent / "other" / "raykd", "other/raykd"),
    "by a test": (lambda bin_: bin_ / "pytest", "raykd"),
    "as a module": (lambda bin_: bin_ / "raykd" / "__main__.py", "bin/python -m raykd"),
}


@pytest.mark.parametrize("case", STARTED)
def test_the_program_is_named_so_that_the_shell_finds_it(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, named = STARTED[case]
    program = started(tmp_path / "bin")
    for file in {tmp_path / "bin" / "pytest", program}:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
        file.chmod(0o755)
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin") if case == "on the path" else "/nowhere")
    assert options.program() == named


def test_an_environment_without_pip_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} -S -m pip "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    result = CliRunner().invoke(app, ["quickstart"])
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    fetched = [line.split()[1] for line in lines if line.split()[0] in ("fetching", "downloading")]
    assert len(fetched) == len(set(fetched)) == 1  # a line for each asset, and none for the second
    assert [line for line in lines if line.startswith("raykd: ")] == lines[-1:]
    assert "pip, which this environment lacks" in lines[-1]
    assert f"{python} -m ensurepip" in lines[-1]
