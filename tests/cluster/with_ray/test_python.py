"""A sweep that is run from Python, with a loss of a plug-in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ...support.plugins import with_plugin
from ...support.world import write_sweep
from .helpers import once_each, records

pytestmark = pytest.mark.long


def test_a_sweep_is_run_from_python(folder: Path) -> None:
    file = write_sweep(folder, explore={"maps": 3}, **with_plugin(folder))
    code = (
        "import raykd\n"
        f"status = raykd.Sweep.open({str(file)!r}, smoke=True).run()\n"
        "print(status.finished, status.missing, status.failed)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    found = records(folder, "tiny-smoke")
    assert done.stdout.split() == [str(len(found)), "0", "0"] and once_each(found)
