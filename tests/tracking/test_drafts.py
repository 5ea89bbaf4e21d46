"""Drafts that a killed process leaves in a home and beside a store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from raykd.runtime.scratch import draft
from raykd.sweep.folders import remove_drafts
from raykd.tracking import store

KILLED = """
import os, signal, sys
from contextlib import ExitStack
from pathlib import Path
from raykd.runtime.scratch import draft
with ExitStack() as stack:
    for place in sys.argv[1:]:
        folder, prefix = place.rsplit("/", 1)
        (stack.enter_context(draft(Path(folder), prefix)) / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_launch_removes_drafts_that_nobody_writes_any_more(
    tmp_path: Path, empty_database: Path
) -> None:
    """Also where another process has completed the same, so that it is never drafted again."""
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    left = [home / ".draft-", home / "data" / ".rows-", tmp_path / ".mlflow-"]
    subprocess.run([sys.executable, "-c", KILLED, *map(str, left)], check=False)
    assert len(list(tmp_path.rglob("half"))) == 3
    with draft(home / "data", ".encoded-") as living:
        (living / "whole").touch()
        remove_drafts(home)
        store.connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
        assert [p.name for p in tmp_path.rglob("*") if p.parent == living] == ["whole"]
        assert not list(tmp_path.rglob("half"))
    assert {p.name for p in tmp_path.rglob("*")} == {"home", "data", "mlflow.db"}
