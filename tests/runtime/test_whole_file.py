"""A file that a command writes is whole, or as it was before: on a full disk and after Ctrl-C."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.runtime.scratch import whole_file

ROOT = Path(__file__).parents[2]
SCORES = str(ROOT / "studies" / "study_minilm_init" / "scores.csv")


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file of this process can be larger than 500 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("content", [None, "older"])
@pytest.mark.parametrize("name", ["table.csv", "table.tex"])
@pytest.mark.usefixtures("small_disk")
def test_a_table_that_does_not_fit_is_a_line_and_no_half_file(
    tmp_path: Path, name: str, content: str | None
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    command = ["verdict", "--from", SCORES, "--margin", "2", "--table", str(file)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert result.stderr == f"raykd: --table: {file} cannot be written (File too large)\n"
    assert {f.name: f.read_text() for f in tmp_path.iterdir()} == (
        {name: content} if content else {}
    )


@pytest.mark.usefixtures("small_disk")
def test_a_sweep_file_that_does_not_fit_is_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next command would read a part of it."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["quickstart"])
    assert result.exit_code == 2 and "quickstart.yaml: cannot be written" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("older")
    with pytest.raises(KeyboardInterrupt), whole_file(file) as draft:
        draft.write_text("a part")
        raise KeyboardInterrupt
    assert file.read_text() == "older" and list(tmp_path.iterdir()) == [file]


def test_a_link_and_access_rights_stay(tmp_path: Path) -> None:
    file, link = tmp_path / "table.csv", tmp_path / "link.csv"
    file.write_text("older")
    file.chmod(0o640)
    link.symlink_to(file)
    with whole_file(link) as draft:
        draft.write_text("newer")
    assert link.is_symlink() and file.read_text() == "newer"
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_new_file_has_the_usual_rights_and_is_not_replaced(tmp_path: Path) -> None:
    file, plain = tmp_path / "my.yaml", tmp_path / "plain"
    with whole_file(file, new=True) as draft:
        draft.write_text("first")
    plain.touch()
    assert file.stat().st_mode == plain.stat().st_mode
    with pytest.raises(FileExistsError), whole_file(file, new=True):
        pytest.fail("nothing is to be written")
    with pytest.raises(FileExistsError), whole_file(tmp_path / "other", new=True) as draft:
        draft.write_text("second")
        (tmp_path / "other").write_text("another process was first")
    assert (tmp_path / "other").read_text() == "another process was first"


def test_a_device_is_written_directly(tmp_path: Path) -> None:
    with whole_file(Path(os.devnull)) as draft:
        assert draft == Path(os.devnull)
    with pytest.raises(OSError, match="No space left"), whole_file(Path("/dev/full")) as draft:
        draft.write_text("text")
