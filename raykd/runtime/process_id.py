"""Names a process so that another process can tell whether it still runs.

A host name and a process id are not enough: containers share host names and count processes anew,
and the start time that psutil computes moves with the clock. Within one boot and one PID namespace,
a process is its id and its start in clock ticks since the boot.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import psutil

PROC = Path("/proc")
INITIAL = "pid:[4026531836]"  # the namespace that a Linux machine boots with
GONE = "ZX"  # states of a process that has ended, in /proc/<pid>/stat


def own(proc: Path = PROC) -> dict[str, str]:
    """Return the name of this process."""
    return {**place(proc), "pid": str(os.getpid()), "ticks": (stat(os.getpid(), proc) or " ")[1:]}


def place(proc: Path = PROC) -> dict[str, str]:
    """Return where this process runs: host name, and on Linux boot id and PID namespace."""
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink(proc / "self/ns/pid")
    except OSError:  # not Linux
        boot = namespace = ""
    return {"host": socket.gethostname(), "boot": boot, "pid_namespace": namespace}


def runs(process: Mapping[str, str], proc: Path = PROC) -> bool | None:
    """Return whether the process of this name runs; None where that cannot be seen from here: it is
    of another host, boot or container, or of another user whose processes are hidden."""
    here = place(proc)
    if any(process.get(key) != value for key, value in here.items()):
        return None
    pid = int(process["pid"])
    found = stat(pid, proc)
    if found is None:
        return None if _is_hidden(pid) else False
    return found[0] not in GONE and found[1:] == process.get("ticks")


def stat(pid: int, proc: Path = PROC) -> str | None:
    """Return a process's state, one letter, and its start in ticks; None if it is not visible.
    Outside Linux the start is in seconds since the epoch, as the kernel noted it."""
    if not (proc / "self/stat").exists():
        try:
            process = psutil.Process(pid)
            zombie = process.status() == psutil.STATUS_ZOMBIE
            return f"{'Z' if zombie else 'R'}{process.create_time():.2f}"
        except psutil.Error:
            return None
    try:
        text = (proc / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the program's name may hold spaces
    return fields[0] + fields[19]


def _is_hidden(pid: int) -> bool:
    """Return whether a process exists that /proc does not show (its option `hidepid`)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
