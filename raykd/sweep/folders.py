"""The folders of a launch. They are named by the sweep's id in its store and by the launch, so that
no other sweep of the same home uses them: not one of another store, and not one of a copy of this
store. What is named by its content (data, teachers, stored states) is shared by all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raykd.planning.study import Study
from raykd.tracking.delivery import spool


@dataclass(frozen=True)
class Places:
    home: Path
    root: str
    """Folder or address of the checkpoints of all sweeps."""
    sweep: str
    launch: str
    """The run id of the launch."""
    ended: tuple[str, ...] = ()
    """Those of the sweep's launches that are over, the newest first."""

    @classmethod
    def of(cls, study: Study, sweep: str, launch: str, ended: tuple[str, ...]) -> Places:
        root = study.config.cluster.checkpoints or str(study.home / "checkpoints")
        return cls(study.home, root, sweep, launch, ended)

    @property
    def checkpoints(self) -> str:
        """Where this launch's jobs keep their newest state."""
        return under(self.root, self.sweep, self.launch)

    @property
    def earlier(self) -> tuple[str, ...]:
        """Where ended launches kept theirs, the newest first; raykd 0.1.0 had one place for all."""
        return (*(under(self.root, self.sweep, each) for each in self.ended), self.root)

    @property
    def spool(self) -> Path:
        return spool(self.home, self.sweep) / self.launch

    @property
    def stop(self) -> Path:
        """The file that tells the launch's workers to end."""
        return self.home / "checkpoints" / f"stop-{self.launch}"

    def tune(self, launch: str) -> Path:
        """Tune's record of a launch, of no use after it."""
        return self.home / "tune" / launch


def under(address: str, *names: str) -> str:
    """A folder below another one, which may be an address with options (`s3://bucket/x?region=y`)."""
    place, mark, options = address.partition("?") if "://" in address else (address, "", "")
    return "/".join([place.rstrip("/"), *names]) + mark + options
