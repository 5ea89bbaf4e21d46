"""`raykd ui` on a sweep, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..tracking.conftest import free_port

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Served:
    name: str
    """The sweep's name, as the command printed it."""
    link: str
    """The address of the sweep's confirm runs."""
    process: subprocess.Popen[str]

    @property
    def base(self) -> str:
        return self.link.partition("/#")[0]


@contextmanager
def served(sweep_file: Path) -> Iterator[Served]:
    """Start the command in the sweep file's folder and wait until it prints its link. No browser
    is opened."""
    environment = {k: v for k, v in os.environ.items() if not k.endswith("DISPLAY")}
    process = subprocess.Popen(
        [sys.executable, "-m", "raykd", "ui", sweep_file.name, "--port", str(free_port())],
        cwd=sweep_file.parent, env={**environment, "PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        # A child of a background job ignores Ctrl-C, as its parent does.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        name, _, link = process.stdout.readline().strip().partition(": ")
        assert link, "no link was printed"
        yield Served(name, link, process)
    finally:
        process.terminate()  # ends its server too; a kill would leave that behind
        process.wait()
