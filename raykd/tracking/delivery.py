"""What passes from one launch to the next: results that still wait on disk for MLflow."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from raykd.errors import UserError
from raykd.sweep import folders
from raykd.tracking import snapshot, store
from raykd.tracking.launch import Launch, interrupt_children
from raykd.tracking.outbox import Left, deliver_left, deliver_sweep

if TYPE_CHECKING:
    from raykd.sweep.sweep import Sweep

AGAIN_SECONDS = 5.0


def send_left(sweep: Sweep, experiment: str) -> Left:
    """Send what workers that are gone left on disk. Raises UserError where some of it is of runs
    that the store no longer takes results for."""
    home = sweep.study.home
    left = deliver_sweep(sweep.uri, folders.spool(home, sweep.id))
    old = folders.spool_of_0_1_0(home, store.safe(sweep.uri), experiment)
    if old.is_dir():
        before = deliver_left(sweep.uri, old)
        left = Left(
            left.sent + before.sent, left.waiting + before.waiting, left.refused + before.refused
        )
        with suppress(OSError):  # something is left in it
            old.rmdir()
    if left.refused:
        raise UserError(
            f"{len(left.refused)} results are of runs that {store.safe(sweep.uri)} no longer takes "
            f"any for (deleted there?); they were set aside in {left.refused[0].parent}: run this "
            "again to train what is missing"
        )
    return left


def wait_until_sent(sweep: Sweep, experiment: str) -> None:
    """Send it, however long the store is away, up to ten minutes. Raises UserError after that."""
    began = time.monotonic()
    while (left := send_left(sweep, experiment)).waiting:
        if time.monotonic() - began > store.AWAY_SECONDS:
            raise UserError(
                f"{store.safe(sweep.uri)} has not answered for ten minutes; {left.waiting} results "
                f"wait in {sweep.study.home / 'spool'} and lose nothing: run this again when it is "
                "back, they are sent first"
            )
        time.sleep(AGAIN_SECONDS)


def leave_read(sweep: Sweep, experiment: str, launch: Launch, tell: Callable[[str], None]) -> None:
    """Leave at the server what the launch has read, for machines that never did. No result hangs on
    it: where the store does not take it now, `tell` is told so in a line."""
    try:
        snapshot.share(sweep.client, experiment, sweep.study.home, launch.run_id)
    except Exception as error:
        if not store.passing(error):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        tell(f"the first `raykd status` of another machine will take longer: {reason}")


def close(sweep: Sweep, experiment: str, launch: Launch, status: str) -> None:
    """End a launch and its trials' runs. Where the store is away, the next launch does it."""
    if store.is_away(sweep.client):
        return
    send_left(sweep, experiment)
    interrupt_children(sweep.client, experiment, launch.run_id)
    launch.end(status)
