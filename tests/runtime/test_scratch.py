"""Temporary files of processes that end and of processes that are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from raykd.runtime.scratch import LOCK, clear, draft, temporary_files

KILLED = """
import os, signal, tempfile
from pathlib import Path
from raykd.runtime.scratch import temporary_files
with temporary_files() as folder:
    (Path(tempfile.mkdtemp(prefix="raykd-checkpoint-")) / "state.pt").write_text("weights")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_a_block_has_its_own_temporary_files_and_leaves_none(place: Path) -> None:
    with temporary_files() as folder:
        made = Path(tempfile.mkdtemp())
        assert made.parent == folder != place
        with temporary_files() as inner:
            assert inner.parent == folder
        assert made.is_dir() and not inner.exists()
    assert tempfile.gettempdir() == str(place) and list(place.iterdir()) == []


def test_files_of_a_killed_process_are_removed_by_the_next_one(place: Path) -> None:
    foreign = place / "raykd-home-of-a-person"
    foreign.mkdir()
    with temporary_files() as folder:
        assert subprocess.run([sys.executable, "-c", KILLED], check=False).returncode == -9
        (left,) = (p.parent.parent for p in place.glob("raykd-*/raykd-checkpoint-*/state.pt"))
        clear(place)
        assert not left.exists()
        assert (folder / LOCK).exists()  # of a living process
        subprocess.run([sys.executable, "-c", KILLED], check=False)
    assert list(place.iterdir()) == [foreign]


def test_a_folder_that_cannot_be_removed_yet_is_removed_later(place: Path) -> None:
    """As where Ray's last processes still write there."""
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    (left,) = place.glob("raykd-*")
    busy = left / "busy"
    busy.mkdir()
    (busy / "log").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *args, **more: None)
        clear(place)
    assert (left / LOCK).exists()
    clear(place)
    assert list(place.iterdir()) == []


KILLED_DRAFT = """
import os, signal, sys
from pathlib import Path
from raykd.runtime.scratch import draft
with draft(Path(sys.argv[1]), ".rows-") as folder:
    (folder / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_draft_is_moved_or_removed_also_after_a_kill(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED_DRAFT, str(tmp_path)], check=False)
    assert [p.name for p in tmp_path.glob(".rows-*/draft/*")] == ["half"]
    with draft(tmp_path, ".rows-") as folder:
        assert len(list(tmp_path.glob(".rows-*"))) == 1
        (folder / "whole").touch()
        folder.rename(tmp_path / "final")
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == [
        "final", "final/whole",
    ]  # fmt: skip


def test_a_folder_that_another_process_removes_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock file that nobody holds yet looks like that of a killed process."""
    opened, removed = os.open, list[Path]()

    def as_it_is_removed(path: str | Path, *args: int) -> int:
        if Path(path).name == LOCK and not removed:
            removed.append(Path(path).parent)
            removed[0].rmdir()
        return opened(path, *args)

    monkeypatch.setattr(os, "open", as_it_is_removed)
    with draft(tmp_path) as made:
        assert made.is_dir() and made.parent not in removed
    assert len(removed) == 1
