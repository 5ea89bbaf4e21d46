"""A sweep as a process of its own, and what is seen of it from outside."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import Result
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.data.assets import packages
from raykd.tracking import ledger, store
from raykd.tracking.ledger import Record

TIMES = {"seconds", "teacher_seconds", "examples_per_second", "peak_memory_mb"}
# Bitwise comparisons need the same number of threads everywhere.
CPUS = 2
WHOLE: dict[str, Any] = {"cpus_per_worker": CPUS}
SLOW = {"steps": 36, "batch": 16, "lr": 1e-3, "evaluations": 6, "precision": "fp32"}
RAYKD = [sys.executable, "-m", "raykd"]


def ours(folder: Path) -> list[psutil.Process]:
    """Every living process that was started for this folder."""
    return marked("RAYKD_HOME", str(folder / "home"))


def marked(name: str, value: str) -> list[psutil.Process]:
    """Every living process with this variable in its environment, but this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if environment(process).get(name) == value:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return [p for p in found if p.pid != os.getpid()]


def environment(process: psutil.Process) -> dict[str, str]:
    """Its environment, or what is left of it: some of Ray's processes write their name over its
    beginning, and psutil reads no further."""
    try:
        block = Path(f"/proc/{process.pid}/environ").read_bytes()
    except OSError:  # another system, or a process that has ended or is not ours
        return process.environ()
    pairs = (entry.partition("=") for entry in block.decode(errors="replace").split("\0"))
    return {name: value for name, _, value in pairs}


def raykd(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RAYKD, *map(str, args)], capture_output=True, text=True, check=False)


def said(*args: object) -> Result:
    """What a command says that starts no Ray, in this process."""
    return CliRunner().invoke(app, [*map(str, args)])


def at_a_terminal(*args: object) -> tuple[int, str]:
    """The exit code, and what a terminal was sent."""
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [*RAYKD, *map(str, args)], stdin=inside, stdout=inside, stderr=inside
    )
    os.close(inside)
    told = b""
    with suppress(OSError):  # which is how a terminal says that nobody is left
        while part := os.read(terminal, 65536):
            told += part
    os.close(terminal)
    return process.wait(), told.decode(errors="replace")


def start(*args: object) -> subprocess.Popen[str]:
    """A raykd that hears Ctrl-C, even where the tests run in a shell's background."""
    return subprocess.Popen(
        [*RAYKD, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def records(folder: Path, name: str = "tiny") -> tuple[Record, ...]:
    client = store.connect(store.resolve(None, folder))
    experiment = store.find_experiment(client, name)
    return () if experiment is None else ledger.read(client, experiment, packages.home())


def scores(found: tuple[Record, ...]) -> dict[str, dict[str, float]]:
    """Every metric but times, by trial."""
    return {r.trial: {k: v for k, v in r.metrics.items() if k not in TIMES} for r in found}


def curves(folder: Path, name: str = "tiny") -> dict[str, dict[int, float]]:
    """The loss of every trial by step."""
    client = store.connect(store.resolve(None, folder))
    return {
        r.trial: {m.step: m.value for m in client.get_metric_history(r.run_id, "loss")}
        for r in records(folder, name)
    }


HANG_SECONDS = 3600.0
"""No machine is so slow: what takes longer hangs."""


def eventually(what: Callable[[], Any]) -> None:
    """Poll until `what` is true, however slow the machine is."""
    deadline = time.monotonic() + HANG_SECONDS
    while not what():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def wait_until(what: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """Poll until `what` is true; the sweep must be alive all the while."""
    while not (found := what()):
        if process.poll() is not None:
            pytest.fail(f"the sweep ended early:\n{process.communicate()[0]}")
        time.sleep(0.1)
    return found


def workers(folder: Path) -> list[psutil.Process]:
    return [p for p in ours(folder) if "RayTrainWorker" in title(p)]


def drivers(folder: Path) -> list[psutil.Process]:
    return [p for p in ours(folder) if "ImplicitFunc" in title(p)]


def title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def logged(folder: Path, step: int) -> Callable[[], bool]:
    """Whether some running trial has logged losses at this step or later."""

    def check() -> bool:
        client = store.connect(store.resolve(None, folder))
        for record in records(folder):
            history = client.get_metric_history(record.run_id, "loss")
            if record.status == "running" and any(m.step >= step for m in history):
                return True
        return False

    return check


def once_each(found: tuple[Record, ...]) -> bool:
    return set(Counter(r.trial for r in found).values()) == {1} and {r.status for r in found} == {
        "finished"
    }
