"""Where checkpoints are kept: what a kill or a store that is away leaves to begin with."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pyarrow import fs

from raykd.cluster.checkpoints import NOTE, copy, mend, wait_for


def job(folder: Path, note: str) -> Path:
    (folder / "job" / "checkpoint_1").mkdir(parents=True)
    (folder / "job" / NOTE).write_text(note)
    return folder / "job"


def test_a_note_in_halves_is_removed_with_what_it_is_of(tmp_path: Path) -> None:
    whole = '{"checkpoint_results": [{"checkpoint_dir_name": "checkpoint_1"}]}'
    for kept in range(len(whole)):
        folder = job(tmp_path / str(kept), whole[:kept])
        mend(str(folder.parent), folder.name)
        assert not folder.exists()


def test_a_whole_note_stays_and_none_is_no_fault(tmp_path: Path) -> None:
    folder = job(tmp_path, "{}")
    mend(str(tmp_path), "job")
    assert (folder / NOTE).read_text() == "{}" and (folder / "checkpoint_1").exists()
    mend(str(tmp_path), "never begun")


def test_a_store_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """Who watches is told so, once."""
    store, behind, told = tmp_path / "store", tmp_path / "behind", list[str]()
    store.symlink_to(behind)
    waiting = threading.Thread(target=wait_for, args=(str(store), told.append))
    waiting.start()
    waiting.join(2.5)
    assert waiting.is_alive()
    assert len(told) == 1 and "waits until checkpoints can be written" in told[0]
    behind.mkdir()
    waiting.join()
    assert list(behind.iterdir()) == []


def test_one_that_stays_away_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "store").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match="store"):
        wait_for(str(tmp_path / "store"), print, seconds=0.0)


def test_a_folder_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    for i in range(3):
        (made / f"state-{i}.pt").write_bytes(bytes([i]) * 100)
    there = tmp_path / "store" / "job" / "checkpoint_1"  # none of these folders is there
    copy(made, fs.LocalFileSystem(), str(there))
    assert {p.name: p.read_bytes() for p in there.iterdir()} == {
        p.name: p.read_bytes() for p in made.iterdir()
    }
    (tmp_path / "away").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match="away"):
        copy(made, fs.LocalFileSystem(), str(tmp_path / "away" / "checkpoint_1"))
    assert not (tmp_path / "nowhere").exists()
