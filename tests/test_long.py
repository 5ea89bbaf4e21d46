"""When the long tests are due."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from . import long


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name in ("errors.py", "maps/layer_map.py", "cli/app.py", "report/page.py"):
        module = tmp_path / "package" / name
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(f"NAME = {name!r}\n", encoding="utf-8")
    return tmp_path / "package"


@pytest.mark.parametrize("name", ["cli/app.py", "report/page.py", "maps/notes.txt"])
def test_what_only_shows_changes_nothing(package: Path, name: str) -> None:
    before = long.code_hash(package)
    (package / name).write_text("changed", encoding="utf-8")
    assert long.code_hash(package) == before


def test_every_change_of_the_other_modules_does(package: Path) -> None:
    seen = {long.code_hash(package)}
    module = package / "maps" / "layer_map.py"
    module.write_text("changed", encoding="utf-8")
    seen.add(long.code_hash(package))
    module.rename(package / "maps" / "map.py")
    seen.add(long.code_hash(package))
    (package / "maps" / "cli.py").write_text("", encoding="utf-8")
    seen.add(long.code_hash(package))
    (package / "maps" / "cli.py").unlink()
    assert len(seen) == 4 and long.code_hash(package) in seen


@pytest.mark.parametrize(("status", "result"), [(0, "passed"), (1, "failed")])
def test_a_run_is_recorded_and_only_one_that_passed_counts(
    package: Path, tmp_path: Path, status: int, result: str
) -> None:
    record = tmp_path / "long.json"
    assert not long.passed(record, long.code_hash(package))
    command = [sys.executable, "-c", f"raise SystemExit({status})"]
    assert long.run(record, package, command) == status
    told = json.loads(record.read_text(encoding="utf-8"))
    assert told.keys() == {"code", "date", "seconds", "result"} and told["result"] == result
    assert long.passed(record, long.code_hash(package)) == (status == 0)
    (package / "errors.py").write_text("changed", encoding="utf-8")
    assert not long.passed(record, long.code_hash(package))
