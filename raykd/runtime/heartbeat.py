"""Tells from heartbeats whether their senders live, without comparing two machines' clocks.

A heartbeat is a value that its sender changes every few seconds. A sender lives if the value was
seen to change, and is dead if it was seen unchanged for long enough, by the observer's own clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

LOOK_SECONDS = 2.0  # between two looks
GAP_SECONDS = 5.0
"""The most that one pause between two looks adds to the time in which a value was seen unchanged.
Over a longer pause the store may have been away, in which the sender could not write either."""


@dataclass(frozen=True)
class Seen:
    """A sender's value, as it was last seen."""

    value: str
    at: float
    still: float = 0.0
    """Seconds for which it was seen unchanged."""
    moved: float | None = None
    """When it was last seen to change."""


class Heartbeats:
    """What a process has seen of the heartbeats of others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, Seen] = {}

    def lives(self, sender: str, value: str, lapse: float) -> bool | None:
        """Note a sender's present value, and return whether the sender lives; None as long as that
        is not known. `lapse`: seconds without a change after which it is dead."""
        now, before = self._clock(), self._seen.get(sender)
        if before is None:
            seen = Seen(value, now)
        elif value != before.value:
            # A change in a long pause may have been long ago.
            seen = Seen(value, now, moved=now if now - before.at < lapse else None)
        else:
            still = before.still + min(now - before.at, GAP_SECONDS)
            seen = Seen(value, now, still, before.moved)
        self._seen[sender] = seen
        if seen.still >= lapse:
            return False
        return True if seen.moved is not None and now - seen.moved < lapse else None


def first_living(
    look: Callable[[], Iterable[tuple[str, bool | None]]], waits: Callable[[str], None]
) -> str | None:
    """Return the name of a sender that lives; None when all are known to be dead. `look` returns
    names, and what `lives` does of each; it is called again until one lives or all are known.
    `waits` is called once with the name of a sender that is waited for."""
    told = False
    while True:
        senders = list(look())
        if living := [name for name, lives in senders if lives]:
            return living[0]
        unknown = [name for name, lives in senders if lives is None]
        if not unknown:
            return None
        if not told:
            waits(unknown[0])
            told = True
        time.sleep(LOOK_SECONDS)


@contextmanager
def repeating(act: Callable[[], None], seconds: float) -> Iterator[None]:
    """Call `act` in a thread during the block: at once, and then every so many seconds. An error
    that it raises ends this, and is raised at the end of the block."""
    over = threading.Event()
    faults: list[Exception] = []

    def repeat() -> None:
        try:
            while True:
                act()
                if over.wait(seconds):
                    return
        except Exception as error:
            faults.append(error)

    thread = threading.Thread(target=repeat, name="raykd-heart", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    for fault in faults:
        raise fault
