"""The control groups of Linux that limit this process, in both versions of their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")

Version = Literal[1, 2]


def groups(
    controller: str, file: dict[Version, str], proc: Path = PROC, mount: Path = GROUPS
) -> Iterator[tuple[Path, Version]]:
    """Iterate over the control group of this process and its ancestors, as far as they have the
    `file` of their version: limits hold for all groups below. In a container, its own group may
    appear as the root."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        version: Version
        if controllers == "":
            roots, version = [mount, mount / "unified"], 2
        elif controller in controllers.split(","):
            roots, version = [mount / controller, mount / controllers], 1
        else:
            continue
        found = set[Path]()
        for root in roots:
            innermost = root / path.lstrip("/")
            for group in (innermost, *innermost.parents):
                place = group / file[version]
                if group.is_relative_to(root) and place.exists() and place.resolve() not in found:
                    found.add(place.resolve())
                    yield group, version
