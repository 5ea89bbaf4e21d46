"""The tests that a push need not wait for, and when they ran last: `make test-long`.

    python tests/long.py            runs what is marked `long` and writes tests/long.json
    python tests/long.py --check    ends with 1 where the code has changed since they passed

It needs the standard library alone: CI calls it before anything is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "tests" / "long.json"
PACKAGE = "raykd"
SHOWS = ("cli", "report")
"""Folders of the package that only show what the others have done."""
COMMAND = [sys.executable, "-m", "pytest", "-m", "long", "-n", "2", "--dist", "loadfile",
           "--no-loadscope-reorder"]  # fmt: skip
SETTINGS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "RAY_worker_niceness": "0"}


def code_hash(package: Path) -> str:
    """Of the names and the contents of the package's modules, without those that only show."""
    modules = {m.relative_to(package).as_posix(): m for m in package.rglob("*.py")}
    whole = hashlib.sha256()
    for name in sorted(modules):
        if name.split("/")[0] not in SHOWS:
            content = modules[name].read_bytes()
            whole.update(f"{name}\0{len(content)}\0".encode())
            whole.update(content)
    return whole.hexdigest()


def passed(record: Path, code: str) -> bool:
    """Whether the record says that the long tests passed on this code."""
    try:
        last: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    return last["code"] == code and last["result"] == "passed"


def run(record: Path, package: Path, command: list[str]) -> int:
    """Run the tests, and record how they ended."""
    code, began = code_hash(package), time.monotonic()
    status = subprocess.run(command, cwd=ROOT, env={**os.environ, **SETTINGS}).returncode
    told = {
        "code": code,
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(time.monotonic() - began),
        "result": "failed" if status else "passed",
    }
    record.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return status


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if passed(RECORD, code_hash(ROOT / PACKAGE)) else 1)
    sys.exit(run(RECORD, ROOT / PACKAGE, COMMAND))
