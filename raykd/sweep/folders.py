"""The folders of a sweep and of its launches.

Their names contain the sweep's id in its store and the launch's run id, so that no other sweep of
the same home uses them, whether it is in another store or in a copy of this one. Folders named by
their content (data, teachers, stored states) are shared by all sweeps.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raykd.errors import UserError
from raykd.runtime import scratch

if TYPE_CHECKING:
    from raykd.planning.study import Study


@dataclass(frozen=True)
class Places:
    home: Path
    root: str
    """Folder or address of the checkpoints of all sweeps."""
    sweep: str
    launch: str
    """The run id of the launch."""
    ended: tuple[str, ...] = ()
    """Run ids of the sweep's launches that have ended, the newest first."""

    @classmethod
    def of(cls, study: Study, sweep: str, launch: str, ended: tuple[str, ...]) -> Places:
        root = study.config.cluster.checkpoints or str(study.home / "checkpoints")
        return cls(study.home, root, sweep, launch, ended)

    @property
    def checkpoints(self) -> str:
        """Address of the newest states of this launch's jobs."""
        return under(self.root, self.sweep, self.launch)

    @property
    def earlier(self) -> tuple[str, ...]:
        """Addresses of the checkpoints of ended launches, the newest first. raykd 0.1.0 kept all of
        them in one place."""
        return (*(under(self.root, self.sweep, launch) for launch in self.ended), self.root)

    @property
    def spool(self) -> Path:
        from raykd.tracking.delivery import spool  # imports MLflow

        return spool(self.home, self.sweep) / self.launch

    @property
    def stop(self) -> Path:
        """The file that tells the launch's workers to end."""
        return self.home / "checkpoints" / f"stop-{self.launch}"

    def tune(self, launch: str) -> Path:
        """Ray Tune's record of a launch, which is of no use once the launch has ended."""
        return self.home / "tune" / launch


def under(address: str, *names: str) -> str:
    """Return a folder below another one, which may be an address with options
    (`s3://bucket/x?region=y`)."""
    place, mark, options = address.partition("?") if "://" in address else (address, "", "")
    return "/".join([place.rstrip("/"), *names]) + mark + options


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


def remove_drafts(home: Path) -> None:
    """Remove what killed processes have not completed."""
    for place in (home, *(entry for entry in home.iterdir() if entry.is_dir())):
        scratch.clear(place, ".")


def write_probe(home: Path) -> Path:
    """Create an empty file with a unique name in the folder."""
    probe = home / f".probe-{uuid.uuid4().hex}"
    probe.touch()
    return probe
