"""The smallest sweep file, and the same with one value set."""

from __future__ import annotations

import json
from typing import Any

SMALLEST: dict[str, Any] = {
    "name": "first",
    "task": {"data": "movie-reviews"},
    "teacher": {"model": "minilm"},
    "student": {"blocks": 3},
}
# Optional mappings, with their required keys.
MORE: dict[str, Any] = {
    "explore": {"maps": 20},
    "published": {"table": "scores.csv", "task": "SST-2"},
}


def with_key(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The smallest sweep with one value set, under a path of keys."""
    sweep: dict[str, Any] = json.loads(json.dumps(SMALLEST))
    if path[0] in MORE and len(path) > 1:
        sweep[path[0]] = dict(MORE[path[0]])
    holder = sweep
    for key in path[:-1]:
        holder = holder.setdefault(key, {})
    holder[path[-1]] = value
    return sweep
