"""A launch's heartbeat, on a thread: neither a long step of Ray Tune's loop nor a store that is
away keeps the one from the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException

from raykd.tracking.launch import Launch
from raykd.tracking.store import passing

BEAT_SECONDS = 10.0


@contextmanager
def beating(launch: Launch) -> Iterator[None]:
    """The launch is known to be alive for the block. A beat that the store does not take is made
    good by the next; another fault ends the beating, and is raised at the end of the block."""
    over = threading.Event()
    faults: list[MlflowException] = []

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            try:
                launch.client.set_tag(launch.run_id, "raykd.heartbeat", str(time.time()))
            except MlflowException as error:
                if not passing(error):
                    faults.append(error)
                    return

    heart = threading.Thread(target=beat, name="raykd-heart", daemon=True)
    heart.start()
    try:
        yield
    finally:
        over.set()
        heart.join()
    for fault in faults:
        raise fault
