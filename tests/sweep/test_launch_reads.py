"""A launch reads the ledger once before it trains, however long the ledger is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raykd.cluster.ray_session import machine
from raykd.sweep.overview import outline
from raykd.sweep.state import best_student
from raykd.sweep.status import status
from raykd.sweep.sweep import Sweep
from raykd.sweep.teacher import ready_teacher
from raykd.tracking import ledger
from raykd.tracking.ledger import Record

from ..support.finished import finish
from ..support.world import write_sweep


def test_a_launch_reads_the_ledger_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    file = write_sweep(tmp_path, tracking={"uri": uri}, confirm={"seeds": 1})
    finish(file)
    reads, read = [], ledger.read

    def counted(*arguments: Any) -> tuple[Record, ...]:
        reads.append(arguments)
        return read(*arguments)

    monkeypatch.setattr(ledger, "read", counted)
    opened = Sweep.open(file)
    with machine(opened.state(), None):
        finished = outline(opened.state())["confirm"]["finished"]
        ready_teacher(opened.study, opened.ledger)
        assert finished and opened.state().missing == 0
    assert status(opened.state()).finished == finished
    assert best_student(opened.state()) is not None
    assert len(reads) == 1
    assert opened.ledger.refresh() == opened.ledger.read() and len(reads) == 2
