"""A launch reads the ledger once before it trains, however long the ledger is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raykd.cluster.ray_session import machine
from raykd.sweep.overview import outline
from raykd.sweep.sweep import Sweep
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
    with machine(opened, None):
        finished = outline(opened)["confirm"]["finished"]
        opened.teacher()
        assert finished and opened.missing() == 0
    assert opened.status().finished == finished
    assert opened.a_student() is not None
    assert len(reads) == 1
    assert opened.records() == opened.known and len(reads) == 2
