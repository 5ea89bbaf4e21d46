"""What the command line says of itself: help, usage, version, completion, and its English."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.config.sweep import SweepConfig
from raykd.version import __version__

from ..support.world import write_sweep


def commands() -> Iterator[list[str]]:
    """Every command, and every command of a group, as the words that call it."""
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        subcommands = getattr(command, "commands", {})
        yield from ([name, sub] for sub in subcommands) if subcommands else ([name],)


COMMANDS = list(commands())


def said(*args: str) -> str:
    result = CliRunner().invoke(app, list(args), env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def test_the_version_is_that_of_the_package() -> None:
    assert said("--version") == f"raykd {__version__}\n"
    assert __version__ == version("raykd")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(shell: str) -> None:
    environment = {"_RAYKD_COMPLETE": f"complete_{shell}", "COMP_WORDS": "raykd ver",
                   "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "raykd ver",
                   "_TYPER_COMPLETE_FISH_ACTION": "get-args"}  # fmt: skip
    code = "from raykd.cli.app import app; app(prog_name='raykd')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert "verdict" in done.stdout, done.stderr


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_usage_has_no_doubled_brackets_and_help_no_cut_line(words: list[str]) -> None:
    text = said(*words, "--help")
    assert "[[" not in text and "]]" not in text
    assert "..." not in text.replace("[ARGS]...", "")
    assert max(map(len, text.splitlines())) <= 80


def test_the_list_of_commands_cuts_no_sentence() -> None:
    assert "..." not in said("--help").replace("[ARGS]...", "")
    assert "..." not in said("cache", "--help").replace("[ARGS]...", "")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_is_in_the_words_of_the_field(words: list[str]) -> None:
    text = " ".join(said(*words, "--help").split())
    assert not re.search(r"\b(commonest|told|looks?|looked)\b", text)
    for sentence in re.split(r"[.:;] ", text):
        assert len(sentence.split()) <= 40, sentence


def test_descriptions_of_keys_call_an_interim_analysis_so() -> None:
    schema = SweepConfig.model_json_schema()
    texts = re.findall(r"'description': [\"'](.*?)[\"'][,}]", repr(schema))
    assert len(texts) > 20
    assert not [t for t in texts if re.search(r"\b(commonest|told|a look|no look)\b", t)]


TAKES_SWEEP = [
    w for w in COMMANDS
    if re.search(r"\bSWEEP\b", said(*w, "--help").splitlines()[0]) and w != ["ui"]
]  # fmt: skip


@pytest.mark.parametrize("words", TAKES_SWEEP, ids=" ".join)
def test_a_command_of_a_sweep_takes_its_smoke_run(words: list[str]) -> None:
    assert "--smoke" in said(*words, "--help")


def test_the_smoke_run_has_a_plan_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    sweep = str(write_sweep(tmp_path))
    assert said("plan", sweep).startswith("tiny\n")
    assert said("plan", sweep, "--smoke").startswith("tiny-smoke\n")
    refused = CliRunner().invoke(app, ["verdict", "--smoke", "--from", "scores.csv"])
    assert refused.exit_code == 2 and "--smoke goes with a sweep file" in refused.stderr
    deep = said("plan", str(write_sweep(tmp_path, student={"blocks": 6},
                                        confirm={"inits": ["random"]})))  # fmt: skip
    assert "the student has 6 blocks, more than its teacher (4)" in deep


def test_a_map_is_a_line_and_drawn_on_request() -> None:
    lines = said("maps", "--teacher", "12", "--student", "3").splitlines()
    assert all(re.fullmatch(r"\S+ +\[.*\](?: \+ embedding.*)?", line) for line in lines)
    assert "forward          [4, 8, 12]" in lines
    drawn = said("maps", "--teacher", "12", "--student", "3", "--draw")
    assert drawn.count("student │ teacher block") == len(lines)


@pytest.mark.parametrize(("teacher", "student", "warned"),
                         [("4", "6", True), ("4", "4", False), ("12+2", "3+3", True)])  # fmt: skip
def test_a_student_that_is_deeper_than_its_teacher_is_warned_of(
    teacher: str, student: str, warned: bool
) -> None:
    result = CliRunner().invoke(app, ["maps", "--teacher", teacher, "--student", student])
    assert result.exit_code == 0
    assert ("more than its teacher" in result.stderr) == warned
