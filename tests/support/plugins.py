"""The plug-in of tests/files/plugins, beside a sweep file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "files" / "plugins"


def with_plugin(folder: Path, kind: str = "half_power", **losses: Any) -> dict[str, Any]:
    """Copy the plug-in into the folder; returns the keys of a sweep file that use it."""
    for file in FOLDER.glob("*.py"):
        shutil.copy(file, folder)
    return {"plugins": ["halved.py"], "losses": {"kind": kind, **losses}}
