"""Every command that README and the docs show is run, on a finished sweep and a table of scores.

Words in capitals stand for a person's own: SWEEP, TABLE, TRIAL. `[...]` holds an option that may be
left out. A command that is named without its arguments, in running text, must exist with the
options that are named.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import pytest
from click import Command
from click.testing import Result
from typer.main import get_command
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.config import sweep

from ..support.finished import finish, working_in
from ..support.world import texts, write_csv, write_sweep

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^ {4}(?:\.venv/bin/)?(raykd [a-z][^\n#`|]*)", re.MULTILINE)
NAMED = re.compile(r"`(?:\.venv/bin/)?(raykd [a-z][^`]*)`")
NEED_MORE = {
    "raykd plan sweeps/paper/sst2.yaml": "a hub",
    "raykd sweep sweeps/paper/sst2.yaml": "a hub",
    "raykd verdict sweeps/paper/sst2.yaml": "a hub",
    "raykd teacher my.yaml --address auto": "a cluster",
    "raykd status my.yaml --watch --tracking-uri http://localhost:5000": "a server",
}
"""What needs a cloud, a hub or a server of one's own, at most twelve. It is read, not run."""
SERVES = ("ui", "quickstart")
"""Commands that serve or train: tests of their own run them (tests/cli)."""


def commands(pattern: re.Pattern[str]) -> list[str]:
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    if pattern is SHOWN:  # code between fences is indented, as the other code is
        texts = [FENCED.sub(lambda m: indent(m[1], " " * 4), text) for text in texts]
    found = [command for text in texts for command in pattern.findall(text)]
    return sorted({" ".join(command.split()) for command in found})


def known(name: str) -> Command:
    return get_command(app).commands[name]  # type: ignore[attr-defined, no-any-return]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with working_in(tmp_path_factory.mktemp("docs")) as folder:
        finish(
            write_sweep(folder, confirm={"strategies": ["none", "forward", "reverse"], "seeds": 3})
        )
        os.rename("sweep.yaml", "my.yaml")
        write_csv(folder / "tickets.csv", texts(240))
        for name in ("studies", "sweeps"):
            (folder / name).symlink_to(ROOT / name)
        result = run("verdict my.yaml --save table.csv")
        assert result.exit_code == 0, result.output
        yield folder


def run(command: str) -> Result:
    return CliRunner().invoke(app, shlex.split(command))


def filled(command: str, trial: str) -> str:
    """The command with values in place of the words in capitals."""
    values = {
        "SWEEP": "my.yaml", "TABLE": "table.csv", "NAME": "study_minilm", "FILE": "new.yaml",
        "DATA": "tickets.csv", "TRIAL": trial, "RUN": trial, "DIR": "student", "X": "0.8",
        "Y": "1",
    }  # fmt: skip
    command = re.sub(r"\[[^\]]*\]", "", command)
    return re.sub(r"\b[A-Z]+\b", lambda word: values[word.group()], command).removeprefix("raykd ")


def trial_with_student(world: Path) -> str:
    from raykd.sweep.sweep import Sweep

    records = Sweep.open(world / "my.yaml").ledger.refresh()
    return next(r.trial for r in records if r.seed == 0 and r.strategy == "forward")


@pytest.mark.parametrize("command", [c for c in commands(SHOWN) if c not in NEED_MORE])
def test_a_command_that_is_shown_runs(command: str, world: Path) -> None:
    name, *arguments = shlex.split(command)[1:]
    stored = [a for a in arguments if a.startswith("sweeps/")]
    if stored and name == "sweep":  # trains for minutes: the file is read
        sweep.load(world / stored[0])
    elif name in SERVES:
        known(name)
    else:
        (world / "my-own.yaml").unlink(missing_ok=True)
        line = filled(command, trial_with_student(world))
        if name == "new":
            line = line.replace("my.yaml", "my-own.yaml")
        result = run(line)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("command", commands(NAMED))
def test_a_command_that_is_named_exists_with_its_options(command: str) -> None:
    name, *arguments = shlex.split(re.sub(r"[\[\]]", "", command))[1:]
    options = {o for p in known(name).params for o in p.opts} | {"--help"}
    assert {a.split("=")[0] for a in arguments if a.startswith("--")} <= options


def test_few_need_more_than_this_machine() -> None:
    shown = {*commands(SHOWN), *commands(NAMED)}
    assert len(NEED_MORE) <= 12 and NEED_MORE.keys() <= shown


@pytest.mark.parametrize("target", sorted(
    {t for p in PAGES for t in re.findall(r"(?:^    |`)make ([a-z-]+)", p.read_text("utf-8"), re.M)}
))  # fmt: skip
def test_a_target_of_make_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
