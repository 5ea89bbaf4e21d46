"""A launch's heartbeat, on a thread: neither a long step of Ray Tune's loop nor a store that is
away keeps the one from the other. With each beat it tells how the launch goes, so that it can be
watched from anywhere that sees the store."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from raykd.tracking.launch import Launch, alive, newest
from raykd.tracking.store import passing

BEAT_SECONDS = 10.0
NOW = "raykd.now"


def nothing() -> Mapping[str, Any]:
    return {}


@contextmanager
def beating(launch: Launch, tell: Callable[[], Mapping[str, Any]] = nothing) -> Iterator[None]:
    """The launch is known to be alive for the block, and with it what `tell` says of it, in plain
    values. A beat that the store does not take is made good by the next; another fault ends the
    beating, and is raised at the end of the block."""
    over = threading.Event()
    faults: list[MlflowException] = []

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            try:
                if told := tell():
                    launch.client.set_tag(launch.run_id, NOW, json.dumps(told))
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


def listen(client: MlflowClient, experiment: str) -> dict[str, Any] | None:
    """What the newest launch told at its last beat; None where none is alive, {} before the
    first."""
    run = newest(client, experiment)
    if run is None or run.info.status != "RUNNING" or not alive(run):
        return None
    found: dict[str, Any] = json.loads(run.data.tags.get(NOW, "{}"))
    return found
