"""What names a process, and from where it can be seen (cluster 3)."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from raykd.runtime import process_id


def test_a_process_knows_itself() -> None:
    own = process_id.own()
    assert all(own.values()) and own["pid"] == str(os.getpid())
    assert process_id.runs(own) is True


def test_a_process_lives_until_it_ends_also_while_it_stands_still_and_before_it_is_reaped() -> None:
    child = subprocess.Popen(["sleep", "60"])
    named = {**process_id.own(), "pid": str(child.pid)}
    state = process_id.stat(child.pid)
    assert state is not None
    named["ticks"] = state[1:]
    child.send_signal(signal.SIGSTOP)
    while psutil.Process(child.pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)
    assert process_id.runs(named) is True
    child.kill()
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert process_id.runs(named) is False
    child.wait()
    assert process_id.runs(named) is False


@pytest.mark.parametrize("key", ["host", "boot", "pid_namespace"])
def test_a_process_of_elsewhere_cannot_be_seen(key: str) -> None:
    own = process_id.own()
    assert process_id.runs({**own, key: "another"}) is None
    assert process_id.runs({k: v for k, v in own.items() if k != key}) is None


def test_an_id_that_another_process_has_now_is_not_the_process() -> None:
    assert process_id.runs({**process_id.own(), "ticks": "1"}) is False


def test_a_program_whose_name_has_spaces_and_brackets(tmp_path: Path) -> None:
    odd = tmp_path / "a) R 1 (b"
    odd.symlink_to("/bin/sleep")
    child = subprocess.Popen([odd, "60"])
    try:
        state = process_id.stat(child.pid)
        assert state is not None and state[0] in "RSD"
        assert int(state[1:]) >= int(process_id.own()["ticks"])
    finally:
        child.kill()
        child.wait()


def test_a_process_that_is_hidden_is_not_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A /proc mounted with `hidepid`, where another user's process is not shown."""
    own = process_id.own()
    for name in ("sys/kernel/random/boot_id", "self/ns/pid", "self/stat"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text(own["boot"] + "\n")
    (tmp_path / "self/ns/pid").symlink_to(own["pid_namespace"])
    (tmp_path / "self/stat").touch()
    assert process_id.runs(own, tmp_path) is None

    def refuses(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuses)
    assert process_id.runs(own, tmp_path) is None
    monkeypatch.undo()
    assert process_id.runs({**own, "pid": str(2**22 + 1)}, tmp_path) is False


def test_a_system_without_proc_names_processes_by_their_start(tmp_path: Path) -> None:
    """As macOS has it."""
    own = process_id.own(tmp_path)
    assert own["boot"] == own["pid_namespace"] == ""
    assert float(own["ticks"]) == round(psutil.Process().create_time(), 2)
    assert process_id.runs(own, tmp_path) is True
    assert process_id.runs({**own, "ticks": "1.00"}, tmp_path) is False
    assert process_id.runs({**own, "pid": str(2**22 + 1)}, tmp_path) is False
