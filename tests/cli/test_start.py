"""What a command imports before it begins: torch only for what no earlier command has kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raykd.cli.app import app

from ..support.world import write_sweep
from ..test_policy import HEAVY

ALLOWED = {"mlflow", "pandas"}  # the store is read, and MLflow imports pandas

PLAN = f"""if True:
    import sys
    from raykd.cli.app import app
    app(["plan", sys.argv[1], "--json"], standalone_mode=False)
    print(*sorted(sys.modules.keys() & {HEAVY}))
"""


@pytest.mark.parametrize("explore", [..., {"maps": 4}], ids=["confirm", "explore too"])
def test_a_second_plan_of_an_unchanged_file_imports_no_torch(
    explore: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    file = str(write_sweep(tmp_path, explore=explore))
    first = CliRunner().invoke(app, ["plan", file, "--json"])
    assert first.exit_code == 0, first.output
    second = subprocess.run(
        [sys.executable, "-c", PLAN, file], cwd=tmp_path, env=os.environ, capture_output=True,
        text=True,
    )  # fmt: skip
    assert second.returncode == 0, second.stderr
    *plan, loaded = second.stdout.splitlines()
    assert json.loads("\n".join(plan))["confirm"] == json.loads(first.stdout)["confirm"]
    assert set(loaded.split()) <= ALLOWED
