"""The process of MLflow's server. It ends when the process that started it ends, by SIGKILL too.

Its input is a pipe that only the parent can write to. The operating system closes the pipe when
the parent ends, whatever the reason.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress

import psutil

INPUT = 0


def run() -> None:
    """Run MLflow's command line with the arguments of this process, until the input is closed."""
    threading.Thread(target=_end_with_the_input, daemon=True).start()
    from mlflow.cli import cli

    cli.main(prog_name="mlflow")


def _end_with_the_input() -> None:
    while os.read(INPUT, 1):
        pass
    for member in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            member.kill()
    os._exit(1)


if __name__ == "__main__":
    run()
