"""raykd.Sweep: a finished sweep from Python. tests/cluster/with_ray/test_python.py runs one."""

from __future__ import annotations

from pathlib import Path

import pytest

import raykd
from raykd.errors import UserError

from ...support.finished import finish
from ...support.world import write_sweep


def test_a_finished_sweep_is_planned_judged_and_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    file = write_sweep(tmp_path, confirm={"strategies": ["none", "forward", "reverse"], "seeds": 2})
    sweep = raykd.Sweep.open(str(file))
    assert sweep.plan()["confirm"]["missing"] == 6
    with pytest.raises(UserError, match="no confirmed trial is finished"):
        sweep.verdict()
    finish(file)
    assert sweep.plan()["confirm"]["missing"] == 0
    before = sweep.status()
    assert (before.finished, before.missing) == (6, 0)
    verdict = sweep.verdict(margin=5.0)
    assert verdict.stated_margin == 5.0 and verdict.cells[0].arms
    assert sweep.run() == before
