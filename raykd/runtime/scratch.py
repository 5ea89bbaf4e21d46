"""Temporary files that do not outlive a killed process for long.

A process that gets SIGKILL removes none of its temporary files, and a worker's checkpoint may have
gigabytes. So each process has its own folder for them, and holds a lock in it while it lives. A
folder whose lock nobody holds is removed by the next process.
"""

from __future__ import annotations

import getpass
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX, LOCK = "raykd-", "raykd.lock"
REMOVE_SECONDS = 60.0
"""How long a folder is tried to be removed: Ray's last processes may still write there, for longer
on a busy machine."""


@contextmanager
def temporary_files() -> Iterator[Path]:
    """Have `tempfile` use a new folder for the block."""
    outside, before = Path(tempfile.gettempdir()), tempfile.tempdir
    # Compiled blocks are used again by later launches.
    os.environ.setdefault(
        "TORCHINDUCTOR_CACHE_DIR", str(outside / f"torchinductor_{getpass.getuser()}")
    )
    with _held(outside, PREFIX) as folder:
        tempfile.tempdir = str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = before


@contextmanager
def draft(place: Path, prefix: str = ".draft-") -> Iterator[Path]:
    """A new folder for the block, on the file system of `place`, to be moved from there when it is
    complete."""
    with _held(place, prefix) as folder:
        made = folder / "draft"
        made.mkdir(mode=0o700)
        yield made


@contextmanager
def whole_file(file: Path, new: bool = False) -> Iterator[Path]:
    """A path to write in the block: `file` has its content afterwards, or is as it was before if
    the block fails. `new`: raise FileExistsError instead of replacing a file."""
    target = file.resolve()
    if new and target.exists():
        raise FileExistsError(file)
    if target.exists() and not (target.is_file() and os.access(target.parent, os.W_OK)):
        yield file  # a device, a pipe, or in a folder that nothing can be added to
        return
    draft = target.with_name(f".{target.stem[:200]}-{os.getpid()}{target.suffix}")
    try:
        yield draft
        if new:
            _link(draft, target)
        else:
            if target.exists():
                shutil.copymode(target, draft)
            draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _link(draft: Path, target: Path) -> None:
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if target.exists():
            raise FileExistsError(target) from None
        draft.replace(target)


@contextmanager
def _held(place: Path, prefix: str) -> Iterator[Path]:
    """A folder that is removed after the block, as are those of killed processes."""
    clear(place, prefix)
    folder, lock = _create(place, prefix)
    try:
        yield folder
    finally:
        deadline = time.monotonic() + REMOVE_SECONDS
        while not _removed(folder) and time.monotonic() < deadline:
            time.sleep(0.1)
        lock.release()
        clear(place, prefix)


def clear(place: Path, prefix: str = PREFIX) -> None:
    """Remove the folders of killed processes."""
    for held in place.glob(f"{prefix}*/{LOCK}"):
        with suppress(Timeout, OSError):
            if held.parent.is_symlink() or held.stat().st_uid != os.getuid():
                continue
            lock = FileLock(held)
            lock.acquire(timeout=0)
            _removed(held.parent)
            lock.release()


def _create(place: Path, prefix: str) -> tuple[Path, FileLock]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        lock = FileLock(folder / LOCK)
        # Another process may have seen the lock file before the lock was held, and removed it alone
        # or with its folder.
        with suppress(FileNotFoundError):
            lock.acquire()
            if (folder / LOCK).exists():
                return folder, lock
            lock.release()


def _removed(folder: Path) -> bool:
    """Remove a folder, its lock file last: with it, what could not be removed is found again."""
    with suppress(OSError):
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != LOCK:
                entry.unlink(missing_ok=True)
        if [entry.name for entry in folder.iterdir()] == [LOCK]:
            shutil.rmtree(folder)
    return not folder.exists()
