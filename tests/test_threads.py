"""What a thread or a finaliser raises fails its test: nobody else would hear of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RAISES = {
    "thread": """
import threading

def test_quiet():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
""",
    "finaliser": """
class Left:
    def __del__(self):
        raise OSError("Bad file descriptor")

def test_quiet():
    Left()
""",
}


@pytest.mark.parametrize("where", RAISES)
def test_an_exception_that_nobody_catches_fails_the_test(where: str, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(RAISES[where], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir",
         str(tmp_path), str(tmp_path / "test_it.py")],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and "1 failed" in done.stdout, done.stdout + done.stderr
