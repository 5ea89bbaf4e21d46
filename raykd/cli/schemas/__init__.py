"""JSON schemas of what commands print with `--json`."""

from __future__ import annotations

import importlib.resources
import json
from typing import Any

from raykd.errors import UserError

COMMANDS = ("maps", "plan", "status", "watch", "verdict", "power", "angles", "logs", "doctor",
            "cache")  # fmt: skip
"""`watch` is a line of `raykd status --watch --json`, `cache` is `raykd cache list --json`."""


def schema(command: str) -> dict[str, Any]:
    """Return the schema of a command's output. Raises UserError for one that prints no JSON."""
    if command not in COMMANDS:
        raise UserError(f"{command!r} prints no JSON; write one of {', '.join(COMMANDS)}")
    file = importlib.resources.files("raykd.cli.schemas") / f"{command}.json"
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content
