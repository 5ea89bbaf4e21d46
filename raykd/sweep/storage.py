"""The folder of a sweep's data, teachers and checkpoints, readable by its owner only."""

from __future__ import annotations

import uuid
from pathlib import Path

from raykd.errors import UserError


def prepare(home: Path, file: str) -> None:
    """Create the folder with access for its owner only, because it holds texts.

    Raises UserError where it cannot be written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_probe(home).unlink()
    except OSError as error:
        raise UserError(
            f"{file}: cluster.storage: {home} cannot be written ({error.strerror}); name a folder "
            "that can, here or in RAYKD_HOME"
        ) from None


def write_probe(home: Path) -> Path:
    """Create an empty file with a unique name in the folder."""
    probe = home / f".probe-{uuid.uuid4().hex}"
    probe.touch()
    return probe
