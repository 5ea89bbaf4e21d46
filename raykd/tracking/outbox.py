"""Queues a writer's entries on disk, in order, until the store has them.

A writer has its own folder inside its launch's (`raykd.sweep.folders`), and holds a lock on it
while its process lives. A thread sends entry after entry (see `outbox_entries`) and removes each
one that was sent. If the store is away, training continues and the entries wait. If the process
dies, the next process that finds the folder without a living owner sends what is left: the job that
takes over, or the next launch.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import tenacity
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from raykd.tracking import outbox_entries
from raykd.tracking.outbox_entries import Entry, Point
from raykd.tracking.store import passing

SEND_SECONDS = 1.0  # points logged within this time are sent in one call per trial
PATIENCE_SECONDS = 30.0  # a flush waits this long for a store that is away, then leaves it on disk
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between attempts; the last one repeats
LOCK, REFUSED = "lock", "refused"


class Spool:
    """A queue of points and entries. The thread gathers and sends points, so that training never
    waits, not even for the disk. An entry is on disk when `put` returns. A fault that does not pass
    is raised by the next call."""

    def __init__(self, client: MlflowClient, folder: Path) -> None:
        self._client = client
        self._folder = folder
        self._lock = FileLock(folder / LOCK, thread_local=False)
        self._points: dict[str, list[Point]] = {}
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._number = 0
        self._closing = threading.Event()
        self._sender: threading.Thread | None = None
        self._away_since: float | None = None
        self._error: BaseException | None = None

    def log(self, run: str, points: list[Point]) -> None:
        """Queue points of a run."""
        self.check()
        with self._guard:
            self._points.setdefault(run, []).extend(points)
        self._start()

    def put(self, entry: Entry, fill: Callable[[Path], None] | None = None) -> None:
        """Queue an entry after all points logged before; those of its run are sent with it, in one
        call. `fill` writes the entry's artifacts into a folder."""
        self.check()
        self._store_points(entry, fill)
        self._start()

    def flush(self) -> None:
        """Return when the store has everything; or, if it is away for half a minute, when
        everything is on disk. If the store has everything, no thread and no folder is left."""
        self._store_points()
        while self._lock.is_locked and outbox_entries.waiting(self._folder):
            self.check()
            since = self._away_since
            if since is not None and time.monotonic() - since > PATIENCE_SECONDS:
                self._closing.clear()
                return
            self._start()
            self._closing.set()
            assert self._sender is not None
            self._sender.join(0.05)
        if self._sender is not None:
            self._closing.set()
            self._sender.join()
            self._sender = None
        self.check()
        if self._lock.is_locked:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._lock.release()

    def check(self) -> None:
        """Raise the fault that ended the sending thread, if there was one."""
        if self._error is not None:
            raise self._error

    def _start(self) -> None:
        if self._sender is None or not self._sender.is_alive():
            self._closing.clear()
            self._sender = threading.Thread(target=self._send, name="raykd-mlflow", daemon=True)
            self._sender.start()

    def _store_points(
        self, entry: Entry | None = None, fill: Callable[[Path], None] | None = None
    ) -> None:
        """Write the logged points to disk, and after them the entry."""
        with self._writing:  # keeps the order between the training thread and the sender
            with self._guard:
                pending, self._points = self._points, {}
            before = tuple(pending.pop(entry.run, ())) if entry else ()
            for run, points in pending.items():
                self._write(Entry(run, tuple(points)), None)
            if entry is not None:
                self._write(replace(entry, points=before + entry.points), fill)

    def _write(self, entry: Entry, fill: Callable[[Path], None] | None) -> None:
        while not self._lock.is_locked:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.acquire()
            if not (self._folder / LOCK).exists():  # another process took it for a dead writer's
                self._lock.release()
        outbox_entries.write(self._folder, self._number, entry, fill)
        self._number += 1

    def _send(self) -> None:
        try:
            while True:
                closing = self._closing.wait(SEND_SECONDS)
                self._store_points()
                for place in outbox_entries.waiting(self._folder) if self._lock.is_locked else ():
                    self._send_one(place)
                if closing and not self._points:
                    return
        except BaseException as error:  # raised by the next call, in the training thread
            self._error = error

    def _send_one(self, place: Path) -> None:
        def note(_: tenacity.RetryCallState) -> None:
            self._away_since = self._away_since or time.monotonic()

        tenacity.Retrying(
            retry=tenacity.retry_if_exception(passing),
            wait=tenacity.wait_chain(*map(tenacity.wait_fixed, PAUSES)),
            before_sleep=note,
        )(lambda: outbox_entries.send(self._client, place))
        self._away_since = None
        shutil.rmtree(place)


@dataclass(frozen=True)
class Left:
    """What became of dead writers' entries: the number sent, the number that still wait (those of
    living writers too), and the paths of those that the store will never accept."""

    sent: int = 0
    waiting: int = 0
    refused: tuple[Path, ...] = ()


def deliver_sweep(uri: str, root: Path) -> Left:
    """Run `deliver_left` for all launches of a sweep, by their folders in `root`. A launch that the
    store does not know belongs to a copy of the store, and is left alone."""
    client = MlflowClient(tracking_uri=uri)
    lefts = list[Left]()
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        try:
            ended = client.get_run(folder.name).info.status != "RUNNING"
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                if not passing(error):
                    raise
                lefts.append(Left(waiting=_count(_writers(folder))))
            continue
        lefts.append(deliver_left(uri, folder))
        if ended:
            with suppress(OSError):  # the folder is not empty
                folder.rmdir()
    return Left(
        sum(left.sent for left in lefts),
        sum(left.waiting for left in lefts),
        tuple(path for left in lefts for path in left.refused),
    )


def _writers(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.name != REFUSED) if root.is_dir() else []


def deliver_left(uri: str, root: Path) -> Left:
    """Send what dead writers left under `root`. Stops at the first fault that may pass."""
    client = MlflowClient(tracking_uri=uri)
    sent, refused = 0, list[Path]()
    folders = _writers(root)
    for folder in folders:
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except (Timeout, FileNotFoundError):
            continue  # its owner lives, or has just finished
        try:
            for place in outbox_entries.waiting(folder):
                try:
                    outbox_entries.send(client, place)
                except Exception as error:
                    if passing(error):
                        return Left(sent, _count(folders), tuple(refused))
                    refused.append(_set_aside(root, place))
                    continue
                shutil.rmtree(place)
                sent += 1
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.release()
    return Left(sent, _count(folders), tuple(refused))


def _count(folders: list[Path]) -> int:
    return sum(len(outbox_entries.waiting(f)) for f in folders if f.is_dir())


def _set_aside(root: Path, place: Path) -> Path:
    aside = root / REFUSED / f"{place.parent.name}-{place.name}"
    aside.parent.mkdir(exist_ok=True)
    return place.rename(aside)
