"""Names that raykd takes for one more release, with a line that says what to write instead."""

from __future__ import annotations

import sys
from functools import cache


@cache
def deprecated(old: str, new: str, where: str, removed_in: str) -> None:
    """Print on stderr, once per process, what to write instead of a name. `where`: the file that
    names it; `removed_in`: the release that no longer takes it."""
    print(
        f"raykd: {old} is deprecated and will be removed in raykd {removed_in}; write {new} in "
        f"{where}",
        file=sys.stderr,
        flush=True,
    )
