"""Delivers results that earlier launches left on disk, and ends launches."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raykd.errors import UserError, first_line
from raykd.runtime.memo import digest
from raykd.tracking import snapshot, store
from raykd.tracking.launch import Launch, interrupt_children
from raykd.tracking.outbox import Left, deliver_left, deliver_sweep

if TYPE_CHECKING:  # raykd.tracking must turn off telemetry before MLflow is imported
    from mlflow import MlflowClient

AGAIN_SECONDS = 5.0


@dataclass(frozen=True)
class Destination:
    """The store of a sweep's results, and the home where results wait until the store takes
    them."""

    uri: str
    client: MlflowClient
    experiment: str
    home: Path
    sweep: str
    """The sweep's id in the store (`sweep_id.identity`)."""


def send_left(to: Destination) -> Left:
    """Send the results that dead workers left on disk. Raises UserError where some are of runs that
    the store no longer accepts results for."""
    left = deliver_sweep(to.uri, spool(to.home, to.sweep))
    old = spool_of_0_1_0(to.home, store.safe(to.uri), to.experiment)
    if old.is_dir():
        older = deliver_left(to.uri, old)
        left = Left(
            left.sent + older.sent, left.waiting + older.waiting, left.refused + older.refused
        )
        with suppress(OSError):  # the folder is not empty
            old.rmdir()
    if left.refused:
        raise UserError(
            f"{len(left.refused)} results are of runs that {store.safe(to.uri)} no longer takes "
            f"any for (deleted there?); they were set aside in {left.refused[0].parent}: run this "
            "again to train what is missing"
        )
    return left


def wait_until_sent(to: Destination) -> None:
    """Send the results, waiting up to ten minutes for the store. Raises UserError after that."""
    began = time.monotonic()
    while (left := send_left(to)).waiting:
        if time.monotonic() - began > store.AWAY_SECONDS:
            raise UserError(
                f"{store.safe(to.uri)} has not answered for ten minutes; {left.waiting} results "
                f"wait in {to.home / 'spool'} and lose nothing: run this again when it is "
                "back, they are sent first"
            )
        time.sleep(AGAIN_SECONDS)


def leave_read(to: Destination, launch: Launch, tell: Callable[[str], None]) -> None:
    """Upload the launch's snapshot of the records, so that a new machine can start from it. No
    result depends on it: where the store does not take it now, `tell` is called with one line."""
    try:
        snapshot.share(to.client, to.experiment, to.home, launch.run_id)
    except Exception as error:
        if not store.passing(error):
            raise
        tell("the first `raykd status` of another machine will take longer: " + first_line(error))


def close(to: Destination, launch: Launch, status: str) -> None:
    """End a launch and its trials' runs. If the store is away, the next launch does it."""
    if store.is_away(to.client):
        return
    send_left(to)
    interrupt_children(to.client, to.experiment, launch.run_id)
    launch.end(status)


def spool(home: Path, sweep: str) -> Path:
    """Return the folder of the results that a sweep's launches have not sent yet."""
    return home / "spool" / sweep


def spool_of_0_1_0(home: Path, address: str, experiment: str) -> Path:
    """Return the folder that raykd 0.1.0 used instead. `address`: the store's, without
    credentials."""
    return home / "spool" / digest([address, experiment])
