"""Where the numbers come from: enough to run the sweep again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Origin:
    """`command` runs it again; `file` is what `what` says: the sweep file's text, or the table's
    name and hash. Versions and commit are those of the newest launch."""

    command: str
    store: str
    versions: Mapping[str, str]
    commit: str | None
    what: str
    file: str


def of_table(table: Path, command: str) -> Origin:
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    return Origin(command, str(table), {}, None, "The table", f"{table.name}, SHA-256 {digest}")


def of_launch(tags: Mapping[str, str], command: str, store: str, file: str) -> Origin:
    """From the tags of a launch's run (raykd.tracking.launch)."""
    start = "raykd.version."
    versions = {k.removeprefix(start): v for k, v in sorted(tags.items()) if k.startswith(start)}
    return Origin(command, store, versions, tags.get("raykd.commit"), "The sweep file", file)
