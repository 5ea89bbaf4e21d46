"""Where checkpoints are kept: a store that is away, and what a launch removes at its end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pyarrow import fs

from raykd.cluster.checkpoint_store import AGAIN_SECONDS, wait_for
from raykd.cluster.launch.checkpoints import clear, copy
from raykd.sweep.folders import Places


def test_a_store_that_is_away_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who watches is told so, once."""
    store, behind, told = tmp_path / "store", tmp_path / "behind", list[str]()
    store.symlink_to(behind)
    waits = list[float]()

    def wait(seconds: float) -> None:
        assert len(told) == 1 and "waits until checkpoints can be written" in told[0]
        waits.append(seconds)
        if len(waits) == 3:
            behind.mkdir()

    monkeypatch.setattr(time, "sleep", wait)
    wait_for(str(store), told.append)
    assert waits == [AGAIN_SECONDS] * 3 and list(behind.iterdir()) == []


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


def test_a_launch_removes_what_is_of_its_own_sweep_and_of_no_use(tmp_path: Path) -> None:
    """`copy` is a launch that this store does not know: of a copy of it, or of a new one."""
    root = tmp_path / "checkpoints"
    for name in ("a/now", "a/before/job", "a/empty", "a/copy/job", "b/other/job", "job-of-0.1.0"):
        (root / name).mkdir(parents=True)
    mine = Places(tmp_path, str(root), "a", "now", ("before", "empty"))

    def left() -> set[str]:
        return {str(p.relative_to(root)) for p in root.glob("*/*")}

    clear(mine, done=False)
    assert left() == {"a/before", "a/copy", "b/other"}
    clear(mine, done=True)
    assert left() == {"a/copy", "b/other"} and (root / "job-of-0.1.0").is_dir()
    clear(Places(tmp_path, str(root), "b", "other"), done=True)
    assert left() == {"a/copy"} and not (root / "b").exists()
    clear(Places(tmp_path, str(root), "never begun", "x"), done=True)
