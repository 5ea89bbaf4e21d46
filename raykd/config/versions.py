"""Versions of the formats that outlive a release: the sweep file and the store.

A version is raised by a change that an earlier raykd would misread. Later releases go on reading
the earlier versions; trials whose ids changed are counted by `raykd.planning.older_rules`. Formats
of files that can be made again have versions where they are written (`data.prepared`,
`teachers.cache`).
"""

from __future__ import annotations

from collections.abc import Mapping

from raykd.errors import UserError
from raykd.version import __version__

SWEEP_FILE = 1
"""Key `version` of a sweep file. A file without it is of version 1."""

STORE = 1
"""Tag `STORE_TAG` of a sweep's experiment. One without it is of version 1, as raykd 0.1.0 wrote it.

Whoever raises it sets the tag also where a launch goes on with an experiment of an earlier version.
"""
STORE_TAG = "raykd.store"


def too_new(version: str, readable: int) -> str:
    """Return what is said of a version that only a later raykd reads."""
    return (
        f"{version} is of a newer raykd; the installed raykd {__version__} reads up to {readable}: "
        "upgrade it"
    )


def check_store(experiment: str, tags: Mapping[str, str], address: str) -> None:
    """Raises UserError if this raykd cannot read an experiment with these tags. `address`: the
    store's, without credentials."""
    stated = tags.get(STORE_TAG, "1")
    if stated not in map(str, range(1, STORE + 1)):
        raise UserError(
            f"tracking.uri: {address}: {STORE_TAG} of the experiment {experiment!r}: "
            f"{too_new(stated, STORE)}, or write another `tracking.uri` or `name`"
        )
