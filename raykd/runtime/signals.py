"""Signal handling of a launch."""

from __future__ import annotations

import signal


def stop_on_sigterm() -> None:
    """Treats SIGTERM, as sent by clouds and schedulers, like Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
