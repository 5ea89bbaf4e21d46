"""A Ray cluster of one head and some worker nodes, each as processes that can be killed as one."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
from ray._private.services import get_node_ip_address

from ...tracking.conftest import free_port
from .helpers import RAYKD, environment, ours

PART = "RAYKD_TEST_NODE"
"""Set for every process of a node, to its name."""
QUICK = {
    # A lost node is known after three seconds, where Ray takes fifteen; a node without its head
    # ends after five, where Ray takes sixty.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
}
START = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
# Nodes on one machine would each give away the same ports.
PORTS = ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
HIDDEN = """
import sys
from pathlib import Path

sys.path[:] = [p for p in sys.path if Path(p).resolve() not in map(Path, {installed!r})]
"""


class Nodes:
    """The head offers `slots` for drivers and no CPU; each worker node two."""

    def __init__(self, folder: Path, slots: int = 1, jobs: bool = False) -> None:
        """`jobs`: the head takes commands that `ray job submit` sends, at `dashboard`."""
        self._folder = folder
        self._slots = slots
        self.dashboard = f"http://127.0.0.1:{free_port()}" if jobs else ""
        # The nodes listen on every address of this machine: they answer this sweep alone.
        self.env = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
        }
        self._names = itertools.count(1)
        self._scratch: list[str] = []
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self.address = ""
        self.head = ""
        self.workers: list[str] = []

    def start(self, workers: int, bare: bool = False) -> None:
        """`bare`: raykd is not installed on the worker nodes."""
        port = free_port()
        self.address = f"{get_node_ip_address()}:{port}"
        self.head = self._start(
            "head", "--head", f"--port={port}", "--num-cpus=0",
            f"--resources={json.dumps({'trial_slot': self._slots})}",
            self._temporary(), *self._dashboard(),
        )  # fmt: skip
        self.workers = []
        for _ in range(workers):
            self.add(bare)

    def add(self, bare: bool = False) -> str:
        env = without_raykd(self._folder) if bare else {}
        # Nodes with one folder for a job's working directory would each delete it and unpack it.
        own = [self._temporary()] if self.dashboard else []
        name = self._start("node", f"--address={self.address}", "--num-cpus=2", *own, env=env)
        self.workers.append(name)
        return name

    def _temporary(self) -> str:
        self._scratch.append(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # for short sockets
        return f"--temp-dir={self._scratch[-1]}"

    def _dashboard(self) -> list[str]:
        if not self.dashboard:
            return ["--include-dashboard=false"]
        port = self.dashboard.rpartition(":")[2]
        return ["--include-dashboard=true", f"--dashboard-port={port}"]

    def _start(self, kind: str, *options: str, env: Mapping[str, str] | None = None) -> str:
        name = f"{kind}-{next(self._names)}"
        log = self._folder / f"{name}.log"
        env = {**self.env, **QUICK, PART: name, **(env or {})}
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*START, *PORTS, *options], env=env, cwd=self._folder, stdout=out, stderr=out
            )
        while b"Ray runtime started" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        self._started[name] = process
        return name

    def raykd(self, command: str, sweep: Path, *options: object) -> subprocess.Popen[str]:
        """A command that joins it."""
        return subprocess.Popen(
            [*RAYKD, command, str(sweep), "--address", self.address, *map(str, options)],
            env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def of(self, *names: str) -> list[psutil.Process]:
        """Every living process of these nodes, trials and workers that run there among them."""
        return [p for p in ours(self._folder) if self.where(p) in names]

    def where(self, process: psutil.Process) -> str:
        """The name of the node that a process is of; empty for one of none."""
        with contextlib.suppress(psutil.Error):
            return environment(process).get(PART, "")
        return ""

    def kill(self, name: str) -> None:
        """As if its machine had gone."""
        for process in self.of(name):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._started[name].wait()
        if name in self.workers:
            self.workers.remove(name)

    def end(self) -> None:
        for name in (self.head, *self.workers):
            self.kill(name)
        for folder in self._scratch:
            shutil.rmtree(folder, ignore_errors=True)


def without_raykd(folder: Path) -> dict[str, str]:
    """The environment of a Python that does not find raykd where this one does."""
    site = folder / "without_raykd"
    site.mkdir(exist_ok=True)
    # Of an installed package and of a checkout; not the copy that Ray puts beside a worker.
    installed = [str(Path(p).resolve()) for p in sys.path if (Path(p) / "raykd").is_dir()]
    (site / "sitecustomize.py").write_text(HIDDEN.format(installed=installed))
    return {"PYTHONPATH": str(site)}
