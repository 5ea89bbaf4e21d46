"""MLflow's own server on a database, as a child process of this one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from raykd.errors import UserError

HOST = "127.0.0.1"
PAUSE_SECONDS = 0.1
ANSWER_SECONDS = 5.0
STOP_SECONDS = 2.0


@contextmanager
def serving(
    uri: str, port: int, tell: Callable[[float], None]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server of this machine alone on a database, wait until it answers, and stop it after
    the block. `tell` is called again and again with the seconds waited. Raises UserError, with the
    last line that the server wrote, where it ends instead.

    The process stays in this one's group, so that Ctrl-C and a closed terminal reach it too. Where
    this process is killed, it ends by itself (server_process.py).
    """
    command = [
        sys.executable, "-m", f"{__package__}.server_process", "server", "--host", HOST,
        "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    # The address may hold a password, which a command line would show to every user.
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # for traces; costs start-up time
    }
    with tempfile.TemporaryDirectory(prefix="raykd-ui-") as folder:
        log = Path(folder) / "server.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=out, stderr=out
            )
        try:
            _wait(process, f"http://{HOST}:{port}", log, tell)
            yield process
        finally:
            stop(process)


def _wait(
    process: subprocess.Popen[bytes], address: str, log: Path, tell: Callable[[float], None]
) -> None:
    began = time.monotonic()
    while not _answers(f"{address}/health"):
        if process.poll() is not None:
            lines = log.read_text("utf-8", errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "it wrote nothing")
            raise UserError(f"MLflow's server ended with code {process.returncode}: {last.strip()}")
        tell(time.monotonic() - began)
        time.sleep(PAUSE_SECONDS)


def _answers(address: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine
    try:
        with direct.open(address, timeout=ANSWER_SECONDS):
            return True
    except OSError:
        return False


def version(base: str) -> str | None:
    """Return the version of the server at an address; None where it does not tell."""
    try:
        with urllib.request.urlopen(f"{base}/version", timeout=ANSWER_SECONDS) as answer:
            text: str = answer.read(100).decode("utf-8", errors="replace")
            return text.strip()
    except (OSError, ValueError):
        return None


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and its workers, within seconds."""
    family = []
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        family = [parent, *parent.children(recursive=True)]
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    for member in psutil.wait_procs(family, timeout=STOP_SECONDS)[1]:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


def installed() -> str:
    """Return the version of the MLflow that `serving` starts."""
    import importlib.metadata

    return importlib.metadata.version("mlflow")
