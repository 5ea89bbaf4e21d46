"""The plug-in of tests/files/plugins, beside a sweep file."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raykd.losses.hidden import registry
from raykd.runtime import plugins

FOLDER = Path(__file__).parents[1] / "files" / "plugins"


def with_plugin(folder: Path, kind: str = "half_power", **losses: Any) -> dict[str, Any]:
    """Copy the plug-in into the folder; returns the keys of a sweep file that use it."""
    for file in FOLDER.glob("*.py"):
        shutil.copy(file, folder)
    return {"plugins": ["halved.py"], "losses": {"kind": kind, **losses}}


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Plug-ins that a test imports, and the losses that they register, are gone after it."""
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry.hidden_losses()))
    monkeypatch.setattr(plugins, "_INSTALLED", {})
    modules = set(sys.modules)
    yield
    for plugin, _ in plugins._INSTALLED.values():
        for path, _ in plugin.files:
            name = plugins._module_name(path)
            if name not in modules:
                sys.modules.pop(name, None)
