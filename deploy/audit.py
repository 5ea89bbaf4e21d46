"""Hold the pins against a copy of the Python advisory database: `make audit` asks no network. `make
advisories` brings the copy, or brings it up to date, where there is one. The copy is no part of the
repository: one that is committed would soon be old, and say less than it seems to.

The copy has the database's records in OSV's format (https://ossf.github.io/osv-schema), cut to the
packages of the pins and to what decides whether a version is affected.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PINS, COPY = ROOT / "constraints.txt", ROOT / ".advisories.json"
DATABASE = "https://github.com/pypa/advisory-database"
STALE_DAYS = 180

Advisory = dict[str, Any]


def pins(file: Path = PINS) -> dict[str, str]:
    lines = file.read_text(encoding="utf-8").split()
    return {canonicalize_name(name): version for name, version in (x.split("==") for x in lines)}


def affected(version: str, part: Mapping[str, Any]) -> bool:
    """Whether OSV's `affected` entry names this version, one by one or by a range."""
    return version in part.get("versions", ()) or any(
        _within(Version(version), r["events"]) for r in part.get("ranges", ())
    )


def _within(version: Version, events: list[dict[str, str]]) -> bool:
    """OSV's own rule: the last event at or before the version decides."""
    inside = False
    for event in sorted(events, key=lambda e: Version(next(iter(e.values())))):
        (kind, at), *_ = event.items()
        if kind == "introduced" and version >= Version(at):
            inside = True
        if (kind == "fixed" and version >= Version(at)) or (
            kind == "last_affected" and version > Version(at)
        ):
            inside = False
    return inside


def flaws(pinned: Mapping[str, str], advisories: list[Advisory]) -> Iterator[str]:
    """A line for each pin that an advisory names."""
    for advisory in advisories:
        for part in advisory["affected"]:
            name = canonicalize_name(part["package"]["name"])
            if name in pinned and affected(pinned[name], part):
                also = ", ".join(advisory.get("aliases", ()))
                yield f"{name} {pinned[name]}: {advisory['id']} ({also})"


def cut(record: Mapping[str, Any], names: set[str]) -> Advisory | None:
    """What the copy keeps of a record; None where it is of other packages, or was withdrawn."""
    parts = []
    for part in record["affected"]:
        if canonicalize_name(part["package"]["name"]) not in names:
            continue
        ranges = [r for r in part.get("ranges", ()) if r["type"] == "ECOSYSTEM"]
        # Versions one by one say what a range says; they count where there is none.
        which = {"ranges": ranges} if ranges else {"versions": part.get("versions", [])}
        parts.append({"package": {"name": part["package"]["name"], "ecosystem": "PyPI"}, **which})
    if not parts or record.get("withdrawn"):
        return None
    return {"id": record["id"], "aliases": record.get("aliases", []), "affected": parts}


def copy(database: Path, names: set[str]) -> dict[str, Any]:
    """The copy, from a clone of the database."""
    told = ["git", "-C", str(database), "log", "-1", "--format=%H %cs"]
    commit, day = subprocess.run(told, capture_output=True, text=True, check=True).stdout.split()
    found = []
    for file in sorted((database / "vulns").glob("*/*.yaml")):
        if canonicalize_name(file.parent.name) in names:
            found.append(cut(yaml.safe_load(file.read_text(encoding="utf-8")), names))
    advisories = [a for a in found if a is not None]
    return {"source": DATABASE, "commit": commit, "date": day, "advisories": advisories}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="database", type=Path, help="a clone: write the copy anew")
    database = parser.parse_args().database
    pinned = pins()
    if database is not None:
        COPY.write_text(json.dumps(copy(database, set(pinned)), indent=1), encoding="utf-8")
    if not COPY.exists():
        print(
            f"warning: {len(pinned)} pins are not audited: no copy of the advisories is here; "
            "bring one with `make advisories`", file=sys.stderr,
        )  # fmt: skip
        return 0
    held = json.loads(COPY.read_text(encoding="utf-8"))
    found = list(flaws(pinned, held["advisories"]))
    print(*found, sep="\n", end="\n" if found else "")
    print(
        f"{len(pinned)} pins, {len(held['advisories'])} advisories of {held['date']}: "
        f"{len(found)} flaws known"
    )
    if (days := (date.today() - date.fromisoformat(held["date"])).days) > STALE_DAYS:
        print(
            f"warning: the advisories are {days // 30} months old, and what was found since is not "
            "in them; bring them up to date with `make advisories`", file=sys.stderr,
        )  # fmt: skip
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
