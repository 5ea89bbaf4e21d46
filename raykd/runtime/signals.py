"""How a launch hears that it is to end."""

from __future__ import annotations

import signal


def stop_on_sigterm() -> None:
    """What ends a process in order, a cloud's notice or a scheduler's, ends it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
